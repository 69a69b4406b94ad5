"""The calendar and the clock: weekdays, hours and dates some time on or back.

Weekdays are numbers from Monday = 1. "Wednesday, in 12 days": `Wednesday=3`, `2+3=5`, `12+3=15`, `15-7=8`, `8-7=1`, so
Monday. Hours run to 24, dates to the end of the month: `28+7=35`, `May:31`, `35>31`, `35-31=4`, so June 4.
"""

import random

from minimind.data.primer.arithmetic import quick
from minimind.data.primer.read import pick
from minimind.data.primer.skill import Draft, ask, draw_free, plain, subject, worked
from minimind.data.primer.wording import SIDE, pairs, wording

# February is left out of questions: its length depends on the year.
MONTH_DAYS = {1: 31, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}


def weekday_name(number: int, language: str) -> str:
    """1 is Monday, 7 is Sunday."""
    return pairs("weekdays")[number - 1][SIDE[language]]


def month_name(number: int, language: str) -> str:
    return pairs("months")[number - 1][SIDE[language]]


def date_name(month: int, day: int, language: str) -> str:
    """5月28日, May 28."""
    return f"{month}月{day}日" if language == "zh" else f"{month_name(month, language)} {day}"


def hour_name(hour: int, language: str) -> str:
    """21点, 21:00."""
    return f"{hour}点" if language == "zh" else f"{hour}:00"


def _take_weeks(total: int) -> list[str]:
    """The steps down to a number from 1 to 7."""
    steps: list[str] = []
    while total > 7:
        steps += quick("-", total, 7)
        total -= 7
    return steps


def _after(rng: random.Random, language: str) -> tuple[tuple, str, int, list[str], str]:
    day, days = rng.randrange(1, 8), rng.randrange(2, 16)
    name = weekday_name(day, language)
    steps = [f"{name}={day}", *quick("+", days, day), *_take_weeks(day + days)]
    return (day, days), name, days, steps, weekday_name((day + days - 1) % 7 + 1, language)


def _before(rng: random.Random, language: str) -> tuple[tuple, str, int, list[str], str]:
    day, days = rng.randrange(1, 8), rng.randrange(2, 8)
    name = weekday_name(day, language)
    steps = [f"{name}={day}", f"{day}+7={day + 7}", f"{day + 7}-{days}={day + 7 - days}", *_take_weeks(day + 7 - days)]
    return (day, days), name, days, steps, weekday_name((day - days - 1) % 7 + 1, language)


def _later(rng: random.Random, language: str) -> tuple[tuple, str, int, list[str], str]:
    hour, hours = rng.randrange(24), rng.randrange(2, 10)
    total = hour + hours
    steps = [
        *quick("+", hour, hours),
        *([f"{total}>=24", f"{total}-24={total - 24}"] if total >= 24 else [f"{total}<24"]),
    ]
    return (hour, hours), hour_name(hour, language), hours, steps, hour_name(total % 24, language)


def _earlier(rng: random.Random, language: str) -> tuple[tuple, str, int, list[str], str]:
    hour, hours = rng.randrange(24), rng.randrange(2, 10)
    steps = [f"{hour}<{hours}", *quick("+", 24, hour)] if hour < hours else [f"{hour}>={hours}"]
    steps += quick("-", hour + 24 * (hour < hours), hours)
    return (hour, hours), hour_name(hour, language), hours, steps, hour_name((hour - hours) % 24, language)


def _date(rng: random.Random, language: str) -> tuple[tuple, str, int, list[str], str]:
    month, day, days = pick(rng, tuple(MONTH_DAYS)), rng.randrange(10, 31), rng.randrange(2, 10)
    total, length = day + days, MONTH_DAYS[month]
    steps = [*quick("+", day, days), f"{month_name(month, language)}:{length}"]
    steps += [f"{total}>{length}", f"{total}-{length}={total - length}"] if total > length else [f"{total}<={length}"]
    end = (month % 12 + 1, total - length) if total > length else (month, total)
    return (month, day, days), date_name(month, day, language), days, steps, date_name(*end, language)


TASKS = {"after": _after, "before": _before, "later": _later, "earlier": _earlier, "date": _date}
SHARES = ("after", "after", "after", "before", "later", "later", "earlier", "date", "date")


def make_dates(rng: random.Random, language: str) -> Draft:
    """One of the five questions about the calendar and the clock."""
    task = pick(rng, SHARES)
    key, start, count, steps, answer = TASKS[task](rng, language)
    question = pick(rng, wording()["dates"][language][task]).format(v=start, n=count)
    accept = (answer.removesuffix(":00"), answer.removesuffix("点")) if task in ("later", "earlier") else ()
    return Draft((("dates", task, *key),), ask(question), worked(steps, answer), answer, accept)


def text_dates(rng: random.Random, language: str) -> str:
    """The week, the months and their lengths, and worked questions."""
    kind = rng.random()
    if kind < 0.2:
        first = rng.randrange(7)
        days = [(first + place) % 7 + 1 for place in range(7)]
        return ",".join(
            f"{weekday_name(day, language)}={day}" if kind < 0.12 else weekday_name(day, language) for day in days
        )
    if kind < 0.35:
        months = rng.sample(tuple(MONTH_DAYS), 5)
        return ",".join(f"{month_name(month, language)}:{MONTH_DAYS[month]}" for month in months)
    if kind < 0.42:
        first = rng.randrange(12)
        return ",".join(month_name((first + place) % 12 + 1, language) for place in range(6))
    return plain(draw_free(make_dates, rng, language))


DATES = subject("dates", make_dates, text_dates, "numbers", 1.2)
