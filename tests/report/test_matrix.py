from workbench.report.matrix import expand, faults_of_matrix


def faults(**run):
    return [said for _, said in faults_of_matrix({"name": "a", **run})]


def test_one_run_for_each_combination_the_last_key_fastest():
    run = {
        "name": "{notebook}-{region}",
        "matrix": {"notebook": ["slots", "sales"], "region": ["North", "South"]},
        "parameters": {"only_users": ["region={region}"], "window_days": 7},
    }
    found = list(expand(run))
    assert [one["name"] for one in found] == ["slots-North", "slots-South", "sales-North", "sales-South"]
    assert [one["notebook"] for one in found] == ["slots", "slots", "sales", "sales"]
    assert found[1]["parameters"] == {"only_users": ["region=South"], "window_days": 7}
    assert all("matrix" not in one for one in found)


def test_a_text_that_is_only_a_placeholder_becomes_the_value_itself():
    run = {"name": "a{days}", "matrix": {"days": [7, 30]}, "parameters": {"window_days": "{days}", "note": "of {days}"}}
    assert [one["parameters"] for one in expand(run)] == [
        {"window_days": 7, "note": "of 7"},
        {"window_days": 30, "note": "of 30"},
    ]


def test_without_a_matrix_braces_are_only_braces():
    run = {"name": "a", "comment": "so {it} is"}
    assert list(expand(run)) == [run]
    assert faults(comment="so {it} is") == []


def test_faults_of_a_matrix():
    assert "each key has a list" in faults(matrix={"lang": "en"})[0]
    assert "each key has a list" in faults(matrix=["en"])[0]
    assert "is used nowhere, did you mean" in faults(name="{sourc}", matrix={"sourc": ["a"], "notebok": ["b"]})[0]
    assert "{regoin} is no key" in faults(name="{regoin}", matrix={"region": ["N"], "lang": ["en"]})[1]
    assert faults(matrix={"lang": ["en", "zh"]}) == [
        "matrix: its runs would all have one name. Write {lang} into the name."
    ]
    assert "there twice" in faults(name="{lang}", matrix={"lang": ["en", "en"]})[0]
    assert "given beside the matrix" in faults(name="{lang}", lang="en", matrix={"lang": ["en", "zh"]})[0]
