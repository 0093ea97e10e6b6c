"""What each word of an estimate means: for the terminal's help, Slack's help and README."""

EXAMPLES = (
    "sonnet-4.6 requests=100k in=2000 out=500",
    "sonnet-4.6 requests=100k in=2000 out=500 cached=1500 hit=90%",
    "haiku-4.5 requests=10k chars=8000 lang=ja out=500 batch",
    "opus requests=1000 in=3000 out=800 turns=10",
    "sonnet-4.6 requests=100k in=2000 out=500 target=700 to=haiku-4.5",
)

MEANINGS: tuple[tuple[str, str], ...] = (
    ("sonnet-4.6", "the model: a family (`opus` is its newest model), a version, or an API id"),
    ("requests=100k", "a month of 30 days; also `1.5m`, `100,000`, `500/day`, `9k/week`, `20/hour`"),
    ("in=2000", "input tokens of a request"),
    ("chars=8000", "instead of `in`: characters of text, together with `lang`"),
    ("lang=ja", "the language of those characters, `en` or `ja`"),
    ("out=500", "output tokens of a request, thinking included"),
    ("cached=1500", "the part of the input that is cached; with `turns`, a prefix that every turn sends besides"),
    (
        "hit=90%",
        "share of requests that find it there (when left out, what the request rate and `ttl` make likely); a miss is "
        "billed as a write",
    ),
    ("ttl=1h", "how long the cache lives: `5m` (when left out) or `1h`"),
    ("batch", "half the price, results within 24 hours"),
    ("fast", "fast mode, on models that have it; never together with `batch`"),
    ("geo=us", "inference in the US only, a tenth dearer; models from Opus 4.6 and Sonnet 4.6 on"),
    ("search=2", "web searches of a request (of each turn), $10 per 1,000"),
    (
        "turns=20",
        "`requests` are conversations, `in` and `out` what each turn adds; the turns before are sent again",
    ),
    ("mix=sonnet-4.6:50,haiku-4.5:50", "several models with their shares; a model beside it is the comparison"),
    ("target=700", "which share must move, for this many USD a month, to the model of `to`"),
    ("to=haiku-4.5", "the model that requests move to"),
    ("peak=20x", "the busiest minute against the mean, for the rate limits (10 when left out)"),
    ("as=support-bot", "keeps the estimate under this name (in Slack)"),
)
"""An example of each word, and what it means."""
