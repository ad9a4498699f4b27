import json


def test_one_failure_leaves_the_others_alone(batch):
    assert batch.code == 1
    assert (batch.out / "channels" / "report.html").is_file()
    for name in ("twice", "dead", "gone"):
        assert json.loads((batch.out / f"{name}.failed" / "manifest.json").read_text())["status"] == "failed"
    assert sorted(path.name for path in batch.out.iterdir()) == [
        "alerts.json", "channels", "dead.failed", "gone.failed", "index.html", "twice", "twice.failed",
    ]  # fmt: skip


def test_the_last_line_is_the_path_of_the_index(batch):
    assert batch.stdout.splitlines() == [str(batch.out / "index.html")]


def test_progress_is_plain_lines_off_a_terminal(batch):
    assert "channels: done in" in batch.stderr
    assert "    Cell 5: ValueError: cannot read spring_shop/orders.csv" in batch.stderr
    assert "Traceback" not in batch.stderr
    assert "TCP" not in batch.stderr


def test_the_index_leads_to_reports_and_to_the_last_good_one(batch):
    page = (batch.out / "index.html").read_text(encoding="utf-8")
    assert '<html lang="zh-CN">' in page
    assert "<span>1 份完成</span>" in page
    assert '<span class="wb-bad">2 份失败</span>' in page
    assert '<span class="wb-bad">1 份被拒绝</span>' in page
    assert 'href="channels/report.html"' in page
    assert "直播的会话转化率最高" in page
    assert "数据已有 12 天未更新。" in page
    assert "打开上一份成功的报告" in page
    assert 'href="twice/report.html"' in page
    assert 'href="dead/report.html"' not in page
    assert "The kernel died" in page


def test_defaults_of_the_plan_reach_the_run(batch):
    manifest = json.loads((batch.out / "channels" / "manifest.json").read_text())
    assert manifest["parameters"]["lookback_hours"] == 24
    assert manifest["parameters"]["start_date"] == "2026-01-01"
    assert manifest["parameters"]["lang"] == manifest["lang"] == "zh"
