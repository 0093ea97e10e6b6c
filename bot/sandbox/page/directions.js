// The stage directions: how fast time passes, what is down, and what Anthropic corrects.
import { $ } from "./text.js";
import { send } from "./wire.js";

const PACES = { pause: "cue-pause", play: "cue-play", faster: "cue-faster" };
const RUNAWAY = {
  before: "The runaway job begins on 11 November.",
  running: "Ends the job and takes its usage out of Anthropic's reports: spend falls back.",
  corrected: "Corrected: the next poll of the bot reads it.",
};

// Shows what the server says of the stage.
export function showStage(stage) {
  for (const [cue, id] of Object.entries(PACES)) $(id).setAttribute("aria-pressed", String(stage.pace === cue));
  toggled($("cue-anthropic"), "anthropic", "Anthropic", stage.anthropic_down);
  toggled($("cue-slack"), "slack", "Slack", stage.slack_down);
  $("cue-correct").disabled = stage.runaway !== "running";
  $("runaway").textContent = RUNAWAY[stage.runaway];
}

function toggled(button, name, label, down) {
  const cue = `${name}_${down ? "up" : "down"}`;
  if (button.value === cue) return;
  button.value = cue;
  button.textContent = down ? `${label} comes back` : `${label} goes down`;
  button.classList.toggle("danger", down);
}

for (const button of $("directions").querySelectorAll("button")) {
  button.addEventListener("click", async () => {
    const { refused = "" } = await send("direct", { cue: button.value });
    $("directions-notice").textContent = refused;
  });
}
