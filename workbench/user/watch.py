"""Alarms of groups that lose users, as whoever watches them needs them."""

from workbench.analysis import Alert, Cell, Watch
from workbench.language import Language
from workbench.user.headline import alarm_text
from workbench.user.words import Tables, alarms_of


def user_watch(tables: Tables, lang: Language) -> Watch:
    """Alarms of the report, by money at risk; those of its last period are current.

    Parameters
    ----------
    tables
        ``migration_alerts`` and ``quadrants``.
    lang
        Language of the sentences.
    """
    newest, every = tables["quadrants"]["period_index"].max(), tables["migration_alerts"]
    last = every[every["period_index"] == newest]
    return Watch(
        alerts=tuple(
            Alert(
                name=f"{row['from_group']}_{row['to_group']}",
                text=alarm_text(row, lang),
                cell=Cell(
                    "migration_alerts",
                    {name: row[name] for name in ("end_date", "from_group", "to_group")},
                    "row_share",
                ),
                value=float(row["row_share"]),
                expected_value=float(row["expected_share"]),
                amount=float(row["amount_at_risk"]) if row["amount_at_risk"] == row["amount_at_risk"] else None,
                start_date=str(row["start_date"]),
                end_date=str(row["end_date"]),
                since_date=str(row["since_date"]),
                is_current=bool(row["period_index"] == newest),
            )
            for row in alarms_of(tables).to_dict("records")
        ),
        is_judged=bool(last["p_value"].notna().any()),
    )
