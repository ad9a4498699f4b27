"""One notebook, run whole on DuckDB and on ClickHouse in this process, writes the same tables."""

import pandas as pd
import pytest

from workbench.report.run import run_notebook
from workbench.source.simulate import simulate_shop


@pytest.fixture(scope="module")
def small_shop(tmp_path_factory):
    return simulate_shop(tmp_path_factory.mktemp("shops") / "small", users=1_500)


@pytest.mark.engine
@pytest.mark.parametrize("notebook", ["slot_attribution", "channel_comparison", "coupon_evaluation"])
def test_same_tables_on_duckdb_and_clickhouse(small_shop, tmp_path, notebook):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    parameters = {"timezone": "Asia/Shanghai"}
    results = {}
    for name, source in {"duckdb": small_shop, "clickhouse": f"chdb://{small_shop}"}.items():
        result = run_notebook(notebook, source, tmp_path / name, parameters=parameters)
        assert result.status == "done", result.error
        results[name] = {path.name: pd.read_csv(path) for path in sorted((result.folder / "tables").glob("*.csv"))}
    assert results["duckdb"].keys() == results["clickhouse"].keys()
    assert any(len(table) for table in results["duckdb"].values())
    for name, table in results["duckdb"].items():
        pd.testing.assert_frame_equal(table, results["clickhouse"][name], rtol=0, atol=1e-9, obj=f"{notebook}/{name}")
