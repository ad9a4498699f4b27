"""What was asked of a channel comparison, for those who put it into words."""

from dataclasses import dataclass

from workbench.language import Language, say
from workbench.metrics.funnel import Count, End
from workbench.metrics.population import Population


@dataclass(frozen=True)
class Wishes:
    """Arguments of ``compare_channels`` on which sentences depend.

    Attributes
    ----------
    population, channel_basis, conversion_days, repurchase_days, baseline, min_users, confidence_level, count, breakdown_at
        As given.
    standardise_by
        Of the columns asked for those that the source has.
    optional_steps
        Steps of the funnel that nobody needs for those after them.
    """

    population: Population = "new"
    channel_basis: str = "acquisition"
    conversion_days: int = 30
    repurchase_days: tuple[int, ...] = (30, 60, 90)
    standardise_by: tuple[str, ...] = ("age_group",)
    baseline: str | None = None
    min_users: int = 30
    confidence_level: float = 0.95
    count: Count = "users"
    breakdown_at: End = "first"
    optional_steps: tuple[str, ...] = ()

    @property
    def is_credit(self) -> bool:
        """Whether a conversion is what a channel is credited with, not what the users do that it brought."""
        return self.channel_basis != "acquisition"

    def window_words(self, lang: Language) -> str:
        """How long a user's conversion is waited for; nothing where any in the period counts."""
        days = self.conversion_days
        return say(lang, f" within {days} days", f" {days} 天内") if self.population == "new" else ""

    def credit_words(self, lang: Language) -> str:
        """What of a user a channel is credited with."""
        if self.population == "new":
            return say(lang, f"the first order{self.window_words(lang)}", f"{self.window_words(lang)}的首单")
        return say(lang, "a paid order", "支付订单")

    def baseline_words(self, lang: Language) -> str:
        """With whom channels are compared."""
        if self.is_credit:
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
