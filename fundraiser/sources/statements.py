"""SQL statements that apply and undo a file, a thousand rows at a time.

``:rows`` are the IDs of the file's rows; ``r`` is a row.
"""

from __future__ import annotations

# Applying, in this order. A temporary table holds the step's rows: what is found about them changes
# there, without indexes, and is written back once.
TAKE_ROWS = """
    CREATE TEMPORARY TABLE taken ON COMMIT DROP AS
    SELECT r.id, r.number, r.outcome, r.says, r.key, r.email, r.address, r.name, r.amount,
           r.currency, r.interval, r.interval_count, r.card_last4, r.started_at, r.counts_until,
           r.cancel_at, r.refunded_at, m.id AS membership_id, m.member_id, NULL::jsonb AS before,
           r.added
    FROM import_row r
    LEFT JOIN membership m ON m.reference = r.key
      AND m.source = CASE WHEN r.says = 'gives' THEN 'complimentary' ELSE 'import' END
    WHERE r.id = ANY(CAST(:rows AS bigint[]))
"""
FIND_MERGED = """
    UPDATE taken r SET member_id = a.member_id
    FROM member_alias a
    WHERE r.member_id IS NULL AND a.address = r.address
"""
ADD_PEOPLE = """
    WITH wanted AS (
        SELECT DISTINCT ON (r.address) r.id, r.address, r.email, r.name, r.started_at
        FROM taken r
        WHERE r.outcome NOT IN ('ended', 'absent')
          AND r.member_id IS NULL AND r.address IS NOT NULL
        ORDER BY r.address, r.number
    ), added AS (
        INSERT INTO member (email, address, name, language, counting, sequence, created_at)
        SELECT email, address, name, :language, false, 0,
               least(coalesce(started_at, :at), CAST(:at AS timestamptz))
        FROM wanted ORDER BY address
        ON CONFLICT (address) DO NOTHING
        RETURNING id, address
    )
    UPDATE taken r SET added = true, member_id = added.id
    FROM wanted JOIN added USING (address) WHERE r.id = wanted.id
"""
ADD_NAMELESS = """
    WITH wanted AS (
        SELECT r.id, r.name, r.started_at,
               nextval(pg_get_serial_sequence('member', 'id')) AS member_id
        FROM taken r
        WHERE r.outcome NOT IN ('ended', 'absent') AND r.member_id IS NULL AND r.address IS NULL
    ), added AS (
        INSERT INTO member (id, name, language, counting, sequence, created_at)
        SELECT member_id, name, :language, false, 0,
               least(coalesce(started_at, :at), CAST(:at AS timestamptz))
        FROM wanted
    )
    UPDATE taken r SET added = true, member_id = wanted.member_id
    FROM wanted WHERE r.id = wanted.id
"""
FIND_PEOPLE = """
    UPDATE taken r SET member_id = m.id
    FROM member m
    WHERE r.outcome NOT IN ('ended', 'absent') AND r.member_id IS NULL AND m.address = r.address
"""
LOCK_PEOPLE = """
    SELECT m.id FROM member m
    WHERE m.id IN (SELECT r.member_id FROM taken r)
    ORDER BY m.id FOR UPDATE
"""
FOLLOW = """
    UPDATE taken r SET member_id = owner.member_id
    FROM (
        SELECT t.id, coalesce(m.member_id, a.member_id, w.id) AS member_id
        FROM taken t
        LEFT JOIN membership m ON m.id = t.membership_id
        LEFT JOIN member_alias a ON a.address = t.address
        LEFT JOIN member w ON w.address = t.address
    ) owner
    WHERE owner.id = r.id AND owner.member_id <> r.member_id
    RETURNING r.id
"""
REMEMBER = """
    UPDATE taken r
    SET before = jsonb_build_object('amount', m.amount, 'currency', m.currency, 'interval',
        m.interval, 'interval_count', m.interval_count, 'status', m.status, 'origin', m.origin,
        'started_at', m.started_at, 'counts_until', m.counts_until, 'cancel_at', m.cancel_at,
        'canceled_at', m.canceled_at, 'ended_at', m.ended_at, 'refunded_at', m.refunded_at,
        'period_end', m.period_end, 'card_last4', m.card_last4)
    FROM membership m WHERE m.id = r.membership_id
"""
CHANGE = """
    UPDATE membership m
    SET origin = :source, amount = r.amount, currency = r.currency, interval = r.interval,
        interval_count = r.interval_count, card_last4 = r.card_last4,
        started_at = least(m.started_at, r.started_at),
        counts_until = r.counts_until, cancel_at = r.cancel_at, refunded_at = r.refunded_at,
        canceled_at = CASE WHEN r.cancel_at IS NOT NULL THEN coalesce(m.canceled_at, :at) END,
        status = 'active', ended_at = NULL
    FROM taken r
    WHERE r.outcome NOT IN ('ended', 'absent') AND r.says <> 'gives' AND m.id = r.membership_id
"""
CHANGE_GIVEN = """
    UPDATE membership m
    SET period_end = r.counts_until, cancel_at = r.counts_until, canceled_at = NULL,
        ended_at = NULL, status = 'active'
    FROM taken r WHERE r.says = 'gives' AND m.id = r.membership_id
"""
END = """
    UPDATE membership m
    SET refunded_at = r.refunded_at, cancel_at = m.counts_until, canceled_at = :at
    FROM taken r WHERE r.outcome = 'ended' AND m.id = r.membership_id
"""
END_ABSENT = """
    UPDATE membership m SET status = 'canceled', canceled_at = :at, ended_at = :at
    FROM taken r WHERE r.outcome = 'absent' AND m.id = r.membership_id
"""
ADD_MEMBERSHIPS = """
    WITH added AS (
        INSERT INTO membership (
            member_id, source, reference, origin, amount, currency, interval, interval_count,
            status, payment_status, collection_paused, has_paid, card_last4, started_at,
            counts_until, cancel_at, canceled_at, refunded_at
        )
        SELECT r.member_id, 'import', r.key, :source,
               r.amount, r.currency, r.interval, r.interval_count, 'active', 'paid', false, false,
               r.card_last4, least(coalesce(r.started_at, :list_at), CAST(:at AS timestamptz)),
               r.counts_until,
               r.cancel_at, CASE WHEN r.cancel_at IS NOT NULL THEN CAST(:at AS timestamptz) END,
               r.refunded_at
        FROM taken r
        WHERE r.outcome NOT IN ('ended', 'absent')
          AND r.says <> 'gives' AND r.membership_id IS NULL AND r.member_id IS NOT NULL
        ORDER BY r.number
        RETURNING id, reference
    )
    UPDATE taken r SET membership_id = added.id FROM added WHERE added.reference = r.key
"""
GIVE_MEMBERSHIPS = """
    WITH added AS (
        INSERT INTO membership (
            member_id, source, reference, amount, currency, interval_count, status,
            payment_status, collection_paused, has_paid, started_at, period_end, cancel_at
        )
        SELECT r.member_id, 'complimentary', r.key, 0, r.currency, 1, 'active', 'nothing', false,
               false, :at, r.counts_until, r.counts_until
        FROM taken r
        WHERE r.says = 'gives' AND r.membership_id IS NULL AND r.member_id IS NOT NULL
        ORDER BY r.number
        RETURNING id, reference
    )
    UPDATE taken r SET membership_id = added.id FROM added WHERE added.reference = r.key
"""
FINISH_ROWS = """
    UPDATE import_row r
    SET member_id = t.member_id, membership_id = t.membership_id, before = t.before,
        added = t.added, applied_at = :at, cells = NULL
    FROM taken t WHERE t.id = r.id
"""
WHOSE = """
    SELECT member_id, min(number) FROM taken
    WHERE member_id IS NOT NULL GROUP BY member_id ORDER BY min(number)
"""

# Undoing, in this order.
LOCK_OWNERS = """
    SELECT p.id FROM member p
    WHERE p.id IN (
        SELECT coalesce(m.member_id, r.member_id)
        FROM import_row r LEFT JOIN membership m ON m.id = r.membership_id
          WHERE r.id = ANY(CAST(:rows AS bigint[]))
    )
    ORDER BY p.id FOR UPDATE
"""
TAKE_AWAY = """
    WITH gone AS (
        DELETE FROM membership m USING import_row r
        WHERE r.id = ANY(CAST(:rows AS bigint[])) AND m.id = r.membership_id AND r.before IS NULL
        RETURNING r.id, m.member_id
    )
    UPDATE import_row r SET member_id = gone.member_id
    FROM gone WHERE gone.id = r.id AND r.member_id <> gone.member_id
"""
PUT_BACK = """
    UPDATE membership m
    SET amount = (r.before ->> 'amount')::bigint, currency = (r.before ->> 'currency')::text,
        interval = (r.before ->> 'interval')::text,
        interval_count = (r.before ->> 'interval_count')::integer,
        status = (r.before ->> 'status')::text, origin = (r.before ->> 'origin')::text,
        card_last4 = (r.before ->> 'card_last4')::text,
        started_at = (r.before ->> 'started_at')::timestamptz,
        counts_until = (r.before ->> 'counts_until')::timestamptz,
        cancel_at = (r.before ->> 'cancel_at')::timestamptz,
        canceled_at = (r.before ->> 'canceled_at')::timestamptz,
        ended_at = (r.before ->> 'ended_at')::timestamptz,
        refunded_at = (r.before ->> 'refunded_at')::timestamptz,
        period_end = (r.before ->> 'period_end')::timestamptz
    FROM import_row r
    WHERE r.id = ANY(CAST(:rows AS bigint[])) AND m.id = r.membership_id AND r.before IS NOT NULL
"""
FINISH_UNDOING = """
    UPDATE import_row r SET undone_at = :at WHERE r.id = ANY(CAST(:rows AS bigint[]))
"""
WHOSE_WERE = """
    SELECT coalesce(m.member_id, r.member_id), min(r.number)
    FROM import_row r LEFT JOIN membership m ON m.id = r.membership_id
    WHERE r.id = ANY(CAST(:rows AS bigint[])) AND coalesce(m.member_id, r.member_id) IS NOT NULL
    GROUP BY 1 ORDER BY 2
"""
