"""Refusals, and what to ask the admins instead."""

from bot.alerts.asks import LONGEST_WORDS, Ask
from bot.alerts.lifecycle import AdminRequest
from bot.language import tr
from bot.messages import Block, Message, Part
from handlers.render.layout import age_part, switch_button
from handlers.render.parts import button, buttons, code, mention, paragraph, said, shown
from handlers.render.spend import saving_line, switch_buttons

ASK_ACTION = "ask_admin"

COMMAND_LIMIT = 1800
"""Longest command in characters, escapes included."""


def refusal_message(refusal: str, ask: Ask | None) -> Message:
    """Why somebody may not do it. `ask`: what to ask the admins for instead; None if there are none."""
    return Message([paragraph(refusal), ask_row(ask)])


def ask_row(ask: Ask | None) -> Part:
    """The button that asks them; empty if its value would be too long."""
    found: list[Block] = []
    if ask is not None and len(ask.words) <= LONGEST_WORDS:
        found = [button(tr("Ask an admin"), ASK_ACTION, ask.packed())]
    return buttons(found)


def ask_message(request: AdminRequest) -> Message:
    """Message to the admins: who asks for what, with the button if there is one."""
    values = {"user": mention(request.by), "admins": " ".join(map(mention, request.admins))}
    if request.decides:
        text = tr("{user} asks for a decision. {admins}: the buttons are in the message above this thread.", **values)
        return said(text)
    if request.command:
        text = tr(
            "{user} asks for {command}. {admins}: please decide, and type it if you agree.",
            command=code(request.command, COMMAND_LIMIT),
            **values,
        )
        return said(text)
    if not request.mode:
        text = tr(
            "{user} asks for another fallback mode than {mode}. {admins}: please decide; `/claude-cost fallback` shows "
            "what each one saves.",
            mode=shown(request.previous),
            **values,
        )
        return said(text)
    first = tr(
        "{user} asks for fallback mode {mode}. {admins}: please decide.",
        mode=shown(request.mode),
        **values,
    )
    if request.saving is None:
        return said(first)
    switch = switch_button(request.saving, request.as_of, recommended=True, budget=request.budget)
    row = switch_buttons([switch], request.previous, request.budget)
    if request.budget:
        line = tr(
            "For budget {budget}, fallback mode {saving}.",
            budget=shown(request.budget),
            saving=saving_line(request.saving),
        )
    else:
        line = tr("Fallback mode {saving}.", saving=saving_line(request.saving))
    age = [] if request.as_of is None else [age_part(request.as_of)]
    return Message([paragraph(first, line), row, *age])
