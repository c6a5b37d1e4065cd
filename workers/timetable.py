"""The schedule of the jobs; two beats do no harm, because jobs claim their rows."""

from __future__ import annotations

from fundraiser.jobs import Job

# Even hourly and nightly jobs have short ticks: rows say whether they are due, so restarting beat
# forgets nothing.
SWEEPS = {
    Job.SETTLE: 5.0,
    Job.DELIVER: 10.0,
    Job.ENQUEUE: 60.0,
    Job.RECOUNT: 20.0,
    Job.CATCH_UP: 10.0,
    Job.RECONCILE: 60.0,
    Job.PUBLISH: 30.0,
    Job.PROVE: 120.0,
    Job.FIGURES: 20.0,
    Job.MILESTONES: 10.0,
    Job.MONEY: 30.0,
    Job.RETAIN: 300.0,
    Job.IMPORT: 10.0,
    Job.LIVE: 20.0,
    Job.BULK: 10.0,
    Job.INTENTS: 10.0,
    Job.WATCH: 60.0,
    Job.BEAT: 20.0,
}

# A tick that no worker received in time expires: the next one finds the same rows.
TIMETABLE = {
    job.value: {
        "task": job.value,
        "schedule": seconds,
        "options": {"queue": job.queue, "expires": seconds * 3},
    }
    for job, seconds in SWEEPS.items()
}
