"""The report card in words: one HTML file that needs nothing else, and Markdown."""

import base64
import html
from typing import Any

from minimind.plots.report_card import Card, Score

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1f2933; }
img { width: 100%; height: auto; border: 1px solid #e4e8ee; border-radius: 8px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #e4e8ee; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
small { color: #66727f; }
dt { font-weight: 600; margin-top: 1rem; }
dd { margin: .2rem 0 0 1rem; white-space: pre-wrap; }
"""


def html_page(card: Card, picture: bytes) -> str:
    """The card as one HTML file with the picture (PNG) inside; every text of the card is escaped."""
    encoded = base64.b64encode(picture).decode("ascii")
    parts = [
        "<h1>MiniMind report card</h1>",
        f'<img alt="Report card: scores by subject and stage" src="data:image/png;base64,{encoded}">',
        "<h2>Stages</h2>",
        _html_table(*_stage_table(card)),
    ]
    if card.examined:
        parts += [
            "<h2>Subjects</h2>",
            "<p>Right answers in percent, with the standard error; beneath, in Chinese and in English.</p>",
            _html_table(*_subject_table(card)),
        ]
    if card.samples:
        parts.append("<h2>Samples</h2><dl>")
        for sample in card.samples:
            question, answer, note = _exchange(sample)
            parts.append(f"<dt>{html.escape(question)}</dt><dd>{html.escape(answer)}")
            parts.append(f" <small>{html.escape(note)}</small></dd>" if note else "</dd>")
        parts.append("</dl>")
    if card.machine:
        rows = [[str(key), str(value)] for key, value in card.machine.items()]
        parts += ["<h2>Machine</h2>", _html_table(["", ""], rows)]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>MiniMind report card</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def markdown_page(card: Card, picture_name: str) -> str:
    """The card in Markdown; the picture is a file beside it."""
    parts = ["# MiniMind report card", f"![Scores by subject and stage]({picture_name})", "## Stages"]
    parts.append(_markdown_table(*_stage_table(card)))
    if card.examined:
        parts += [
            "## Subjects",
            "Right answers in percent, with the standard error; in brackets Chinese / English.",
            _markdown_table(*_subject_table(card)),
        ]
    if card.samples:
        parts.append("## Samples")
        for sample in card.samples:
            question, answer, note = _exchange(sample)
            quoted = "\n".join(f"> {_plain(line)}" for line in answer.split("\n"))
            parts.append(f"**{_plain(question)}**{f' ({_plain(note)})' if note else ''}\n\n{quoted}")
    if card.machine:
        parts += ["## Machine", "\n".join(f"- {_plain(str(k))}: {_plain(str(v))}" for k, v in card.machine.items())]
    return "\n\n".join(parts) + "\n"


def _stage_table(card: Card) -> tuple[list[str], list[list[str]]]:
    with_preferences = any(stage.preference_accuracy is not None for stage in card.stages)
    head = ["stage", "seconds", "tokens", "exam"] + (["preference pairs"] if with_preferences else [])
    rows = []
    for stage in card.stages:
        row = [stage.name, _number(stage.seconds), _number(stage.tokens or None), _percent(stage.mean)]
        accuracy = stage.preference_accuracy
        rows.append(row + ([f"{100 * accuracy:.1f}" if accuracy is not None else ""] if with_preferences else []))
    return head, rows


def _subject_table(card: Card) -> tuple[list[str], list[list[str]]]:
    head = ["subject", *(stage.name for stage in card.examined), "items"]
    rows = []
    for name in card.subjects:
        scores = [stage.subjects.get(name) for stage in card.examined]
        items = max((score.items for score in scores if score), default=0)
        rows.append([name, *map(_cell, scores), str(items or "")])
    return head, [["**all subjects**", *(_percent(stage.mean) for stage in card.examined), ""], *rows]


def _cell(score: Score | None) -> str:
    languages = " / ".join(f"{100 * share:.0f}" for share in score.languages.values()) if score else ""
    return _percent(score) + (f" ({languages})" if languages else "")


def _percent(score: Score | None) -> str:
    if score is None:
        return ""
    return f"{100 * score.share:.1f}" + (f" ± {100 * score.stderr:.1f}" if score.stderr else "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _exchange(sample: dict[str, Any]) -> tuple[str, str, str]:
    """Question, answer, and the stage that gave it."""
    return str(sample.get("question", "")), str(sample.get("answer", "")), str(sample.get("stage", ""))


def _html_table(head: list[str], rows: list[list[str]]) -> str:
    def cells(tag: str, texts: list[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(text.strip('*'))}</{tag}>" for text in texts) + "</tr>"

    lines = [cells("th", head)] if any(head) else []
    return '<div class="wide"><table>\n' + "\n".join(lines + [cells("td", row) for row in rows]) + "\n</table></div>"


def _markdown_table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *([_plain(text) for text in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is: on one line, without bars and tags."""
    return text.replace("\n", " ").replace("|", "\\|").replace("<", "&lt;")
