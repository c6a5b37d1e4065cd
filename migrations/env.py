"""Migrations run on the models of all rooms; none waits longer than 4 s for a lock."""

from alembic import context
from sqlalchemy import text

from fundraiser import jobs, outbox
from fundraiser.account import models as account
from fundraiser.campaigns import models as campaigns
from fundraiser.config import load_settings
from fundraiser.dashboard import models as dashboard
from fundraiser.db import Base, make_engine
from fundraiser.emails import models as emails
from fundraiser.joining import reminders
from fundraiser.members import addresses, forwarding, gifts, merging, models as members
from fundraiser.newsroom import maintenance, models as newsroom
from fundraiser.payments import cases, models as payments
from fundraiser.payments.stripe import budget
from fundraiser.sources import models as sources
from fundraiser.watch import models as watch
from fundraiser.webhooks import models as webhooks

ROOMS = (
    jobs,
    outbox,
    emails,
    newsroom,
    maintenance,
    members,
    addresses,
    forwarding,
    gifts,
    merging,
    payments,
    budget,
    cases,
    campaigns,
    reminders,
    watch,
    webhooks,
    account,
    dashboard,
    sources,
)

engine = make_engine(load_settings().database_url)
try:
    with engine.connect() as connection:
        # For the connection, not LOCAL: each migration is a transaction of its own.
        connection.execute(text("SET lock_timeout = '4s'"))
        connection.execute(text("SET statement_timeout = 0"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            compare_type=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
finally:
    engine.dispose()
