"""The names of OTLP that the ledger reads: one table, and a Collector that hands on what is in it."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from openinference.semconv.trace import SpanAttributes as OpenInference
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv_ai import SpanAttributes as OpenLLMetry

from bot.ledger.otlp.calls import ERROR_EVENTS, INFERENCE_EVENT, REQUEST_EVENTS
from bot.ledger.otlp.names import ALIASES, CLAUDE_CODE_COUNTS, Meaning, is_read
from bot.ledger.otlp.series import METRICS

COLLECTOR = Path(__file__).resolve().parents[2] / "deploy" / "otel-collector.yaml"


def test_no_name_means_two_things() -> None:
    counted = Counter(name for names in ALIASES.values() for name in names)
    assert [name for name, times in counted.items() if times > 1] == []
    assert set(ALIASES) == set(Meaning)
    assert all(is_read(name) for names in (*ALIASES.values(), *CLAUDE_CODE_COUNTS.values()) for name in names)


def test_the_conventions_of_the_installed_packages_are_read() -> None:
    counts = {
        *(OpenInference.LLM_TOKEN_COUNT_PROMPT, OpenInference.LLM_TOKEN_COUNT_COMPLETION),
        *(OpenInference.LLM_TOKEN_COUNT_PROMPT_DETAILS_CACHE_READ, OpenInference.LLM_MODEL_NAME),
        *(OpenInference.LLM_TOKEN_COUNT_PROMPT_DETAILS_CACHE_WRITE, OpenInference.LLM_PROVIDER),
        *(OpenLLMetry.LLM_USAGE_PROMPT_TOKENS, OpenLLMetry.LLM_USAGE_COMPLETION_TOKENS),
        *(OpenLLMetry.LLM_USAGE_CACHE_READ_INPUT_TOKENS, OpenLLMetry.LLM_USAGE_CACHE_CREATION_INPUT_TOKENS),
        *(OpenLLMetry.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, OpenLLMetry.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS),
        *(gen_ai_attributes.GEN_AI_USAGE_INPUT_TOKENS, gen_ai_attributes.GEN_AI_USAGE_OUTPUT_TOKENS),
        *(gen_ai_attributes.GEN_AI_RESPONSE_ID, gen_ai_attributes.GEN_AI_RESPONSE_MODEL),
    }
    assert {name for name in counts if not is_read(name)} == set()


def test_the_collector_hands_on_what_the_ledger_reads() -> None:
    config: dict[str, Any] = yaml.safe_load(COLLECTOR.read_text(encoding="utf-8"))
    for pipeline in config["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(config[kind])
    exporter = config["exporters"]["otlphttp/claude-cost"]
    assert exporter["headers"]["Authorization"] == "Bearer ${env:CLAUDE_COST_INGEST_TOKEN}"
    kept = config["processors"]["filter/usage"]
    (metric,) = _patterns(kept["metrics"]["metric"][0])
    assert all(re.search(metric, name) for name in METRICS)
    patterns = _patterns(kept["logs"]["log_record"][0])
    assert all(
        any(re.search(pattern, name) for pattern in patterns)
        for name in (*REQUEST_EVENTS, *ERROR_EVENTS, INFERENCE_EVENT)
    )
    (statement,) = config["processors"]["transform/content"]["trace_statements"][0]["statements"]
    (content,) = _patterns(statement)
    read = [name for names in ALIASES.values() for name in names]
    assert [name for name in read if re.search(content, name)] == []
    assert re.search(content, "gen_ai.input.messages")
    assert re.search(content, "llm.input_messages.0.message.content")


def _patterns(statement: str) -> list[str]:
    """The regular expressions in a statement, whose backslashes are doubled."""
    return [text.replace("\\\\", "\\") for text in re.findall(r'"(\^[^"]+)"', statement)]
