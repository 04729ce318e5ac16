"""Ticks: the times at which a Schedule is due. Pure: time is handed in, and the same question has the same answer.

`timetable` is the way in; `cron`, `interval`, `dates` and `recurrence` are what a timetable is put together from.
"""
