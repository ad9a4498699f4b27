"""What was asked of a channel comparison, for those who put it into words."""

from dataclasses import dataclass

from workbench.language import Language, say
from workbench.metrics.population import Population


@dataclass(frozen=True)
class Wishes:
    """Arguments of ``compare_channels`` on which sentences depend.

    Attributes
    ----------
    population, channel_basis, conversion_days, repurchase_days, baseline, min_users
        As given.
    standardise_by
        Of the columns asked for those that the source has.
    """

    population: Population = "new"
    channel_basis: str = "acquisition"
    conversion_days: int = 30
    repurchase_days: tuple[int, ...] = (30, 60, 90)
    standardise_by: tuple[str, ...] = ("age_group",)
    baseline: str | None = None
    min_users: int = 30

    def baseline_words(self, lang: Language) -> str:
        """With whom channels are compared."""
        if self.channel_basis != "acquisition":
            return self.baseline or say(lang, "all channels", "全部渠道")
        return self.baseline or say(lang, "all users", "全部用户")

    def audience_words(self, lang: Language) -> str:
        """By what the audience is measured."""
        known = {
            "age_group": say(lang, "age group", "年龄段"),
            "gender": say(lang, "gender", "性别"),
            "region": say(lang, "region", "地区"),
            "device": say(lang, "device", "设备"),
        }
        return say(lang, ", ", "、").join(known[one] for one in self.standardise_by)
