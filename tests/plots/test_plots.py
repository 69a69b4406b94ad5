"""Pictures and pages: what is read, what is refused, what the pages say."""

import base64
import json
import math
from html.parser import HTMLParser

import pytest

from minimind.cli.main import main
from minimind.config import UserError
from minimind.plots import curves, report_card
from minimind.plots.pages import html_page, markdown_page
from minimind.plots.picture import short
from minimind.plots.report_card import Score
from minimind.plots.style import label, smooth

PNG = b"\x89PNG\r\n\x1a\n"


def write_run(folder, steps=60, **columns):
    folder.mkdir(parents=True, exist_ok=True)
    records = [
        {"step": step, "tokens": 100 * step, "seconds": 0.1 * step, "loss": 5.0 / (1 + step), "learning_rate": 1e-3}
        | {name: value for name, value in columns.items() if step % 10 == 0}
        for step in range(steps)
    ]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "metrics.jsonl").write_text(text + '{"step": 99, "lo', encoding="utf-8")  # as a killed run leaves it
    return folder


def exam(*scores):
    subjects = {
        name: {"zh": score, "en": score, "score": score, "stderr": 0.03, "items": 200}
        for name, score in zip(("facts", "<b>身份</b>", "sums"), scores, strict=True)
    }
    return {"mean": sum(scores) / len(scores), "subjects": subjects}


@pytest.fixture
def card_folder(tmp_path):
    card = {
        "stages": [
            {"name": "primer", "seconds": 3.0},
            {"name": "pretrain", "seconds": 60, "tokens": 1_234_567, "exam": exam(0.1, 0.0, 0.2)},
            {
                "name": "full_sft",
                "seconds": 30,
                "tokens": 5_000,
                "exam": exam(0.9, 1.0, 0.2),
                "preference_accuracy": 0.5,
            },
            {"name": "dpo", "seconds": 9, "tokens": 900, "exam": exam(0.8, 1.0, 0.2), "preference_accuracy": 0.995},
        ],
        "machine": {"cores": 2, "torch": "<2.13>"},
        "samples": [
            {"question": "中国的首都?", "answer": "<script>alert('北京')</script>\nline | two", "stage": "dpo"}
        ],
    }
    (tmp_path / "report_card.json").write_text(json.dumps(card, ensure_ascii=False), encoding="utf-8")
    write_run(tmp_path / "runs" / "pretrain_128", val_loss=2.0)
    write_run(tmp_path / "runs" / "full_sft_128_moe")
    return tmp_path


def test_runs_are_found_by_file_folder_and_tree(tmp_path):
    write_run(tmp_path / "a", steps=3)
    write_run(tmp_path / "b" / "c", steps=4)
    assert {name: len(records) for name, records in curves.find_runs([tmp_path]).items()} == {"a": 3, "c": 4}
    assert list(curves.find_runs([tmp_path / "a" / "metrics.jsonl"])) == ["a"]


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "empty.jsonl").write_text("not json\n")
    for path in (tmp_path, tmp_path / "absent", tmp_path / "empty.jsonl"):
        with pytest.raises(UserError, match=path.name):
            curves.find_runs([path])


def test_series_keeps_finite_numbers_only():
    records = [
        {"step": 1, "x": 2},
        {"step": 2},
        {"step": 3, "x": math.nan},
        {"step": 4, "x": True},
        {"step": 5, "x": 1.5},
    ]
    assert curves.series(records, "x") == ([1.0, 5.0], [2.0, 1.5])
    assert curves.metrics_of({"run": [{"step": 1, "loss": 2.0, "reward": 1.0, "note": "text"}]}) == ["reward"]


def test_curves_of_two_runs_are_one_picture(tmp_path, capsys):
    write_run(tmp_path / "a", val_loss=2.0)
    write_run(tmp_path / "运行", steps=1)
    assert main(["plot", str(tmp_path / "a"), str(tmp_path / "运行"), "--out", str(tmp_path / "both.png")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/both.png\n"
    assert (tmp_path / "both.png").read_bytes().startswith(PNG)


def test_the_trend_of_a_line_is_the_line_and_of_noise_is_flat():
    assert smooth([1.0, 3.0, 5.0, 7.0, 9.0], reach=2) == pytest.approx([1.0, 3.0, 5.0, 7.0, 9.0])
    assert smooth([4.0], reach=3) == [4.0]
    # by hand, index 1, reach 1: mean of 0, 3, 0 is 1, and the best line through them is flat
    assert smooth([0.0, 3.0, 0.0], reach=1)[1] == pytest.approx(1.0)


def test_report_card_writes_three_files_that_agree(card_folder, capsys):
    assert main(["plot", str(card_folder)]) == 0
    files = capsys.readouterr().out.split()
    assert [file.rsplit(".", 1)[1] for file in files] == ["png", "html", "md"]
    picture = (card_folder / "report_card.png").read_bytes()
    assert picture.startswith(PNG)
    page = (card_folder / "report_card.html").read_text(encoding="utf-8")
    assert base64.b64encode(picture).decode() in page
    assert "![Scores by subject and stage](report_card.png)" in (card_folder / "report_card.md").read_text("utf-8")


def test_the_html_page_needs_nothing_else_and_escapes_every_text(card_folder):
    page = html_page(report_card.read(card_folder / "report_card.json"), PNG)
    tags: list[tuple[str, dict]] = []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    reader.feed(page)
    assert {"script", "b", "link"}.isdisjoint(tag for tag, _ in tags)
    assert [attributes["src"][:22] for tag, attributes in tags if tag == "img"] == ["data:image/png;base64,"]
    assert "&lt;script&gt;alert(&#x27;北京&#x27;)&lt;/script&gt;" in page
    assert "&lt;b&gt;身份&lt;/b&gt;" in page
    assert "&lt;2.13&gt;" in page
    assert "http" not in page


def test_the_markdown_page_shows_the_numbers(card_folder):
    lines = markdown_page(report_card.read(card_folder / "report_card.json"), "card.png").split("\n")
    assert "| stage | seconds | tokens | exam | preference pairs |" in lines
    assert "| pretrain | 60 | 1,234,567 | 10.0 ± 1.7 |  |" in lines  # 0.03 x sqrt(3) / 3 = 0.0173
    assert "| full_sft | 30 | 5,000 | 70.0 ± 1.7 | 50.0 |" in lines
    assert "| facts | 10.0 ± 3.0 (10 / 10) | 90.0 ± 3.0 (90 / 90) | 80.0 ± 3.0 (80 / 80) | 200 |" in lines
    assert "> &lt;script>alert('北京')&lt;/script>" in lines
    assert "> line \\| two" in lines


def test_subjects_are_ordered_by_the_last_exam_and_curves_by_stage(card_folder):
    card = report_card.read(card_folder / "report_card.json")
    assert card.subjects == ["<b>身份</b>", "facts", "sums"]
    assert {name: len(records) for name, records in card.curves.items()} == {"pretrain": 60, "full_sft": 60}


def test_two_standard_errors_of_the_difference():
    """sqrt(0.03^2 + 0.04^2) = 0.05, so a difference of 0.10 is just not more than two of them."""
    assert not Score(0.5, 0.03).differs_from(Score(0.599, 0.04))
    assert Score(0.5, 0.03).differs_from(Score(0.601, 0.04))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not a report card"),
        ("{}", "stages"),
        ('{"stages": []}', "no stages"),
        ('{"stages": [{"seconds": 1}]}', "name"),
        ('{"stages": [{"name": "dpo", "exam": {"mean": 60, "subjects": {}}}]}', "between 0 and 1"),
    ],
)
def test_what_is_no_card_is_refused(tmp_path, content, words):
    file = tmp_path / "report_card.json"
    file.write_text(content)
    with pytest.raises(UserError, match=words):
        report_card.read(file)


def test_a_card_of_one_stage_without_exam_can_be_drawn(tmp_path):
    (tmp_path / "report_card.json").write_text('{"stages": [{"name": "预训练", "seconds": 0}]}', encoding="utf-8")
    assert [path.is_file() for path in report_card.write(tmp_path)] == [True, True, True]


def test_plot_without_sources_or_with_too_many(card_folder, capsys):
    assert main(["plot"]) == 2
    assert main(["plot", str(card_folder), "--out", "x.png"]) == 2
    assert capsys.readouterr().err.count("minimind plot: ") == 2


def test_labels_never_become_boxes(monkeypatch):
    monkeypatch.setattr("minimind.plots.style._chinese_font", lambda: None)
    assert label("dpo ▲ é", "stage 3") == "dpo ▲ é"
    assert label("预训练", "stage 1") == "stage 1"
    monkeypatch.setattr("minimind.plots.style._chinese_font", lambda: "SimHei")
    assert label("预训练", "stage 1") == "预训练"


def test_short_counts():
    assert [short(count) for count in (999, 1_000, 1_234_567, 2_500_000_000)] == ["999", "1 k", "1.23 M", "2.5 G"]
