-- The work of one accrual in PostgreSQL: id and receipt once for ever, a cap per account and day, the balance, and a
-- journal row. Loaded by run.py into a database of its own.
--
-- What must stay true: accrue() and accrue_many() grant the same for the same baskets in the same order, and each call is
-- one transaction with one commit.

CREATE TABLE rules (category text PRIMARY KEY, multiplier_bps bigint NOT NULL);
INSERT INTO rules VALUES ('coffee', 20000), ('pastry', 15000), ('grocery', 10000), ('fuel', 0);

CREATE TABLE accounts (account text PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE day_caps (account text, day date, units bigint NOT NULL, PRIMARY KEY (account, day));
CREATE TABLE journal (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id uuid NOT NULL UNIQUE,
    receipt text NOT NULL UNIQUE,
    posted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    account text NOT NULL,
    category text NOT NULL,
    amount_minor bigint NOT NULL,
    earned bigint NOT NULL,
    granted bigint NOT NULL,
    balance bigint NOT NULL
);
-- Numbers of calls, from which accrue_many() makes its baskets.
CREATE SEQUENCE calls;

-- Decides one basket and returns what it granted; -1 where the receipt has earned under another id.
CREATE FUNCTION accrue(id uuid, member text, receipt_key text, receipt_day date, line_category text, amount bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    cap_units CONSTANT bigint := 200;
    before bigint;
    used bigint;
    earns bigint;
    grants bigint;
    sum_after bigint;
BEGIN
    SELECT granted INTO before FROM journal WHERE transaction_id = id;
    IF FOUND THEN
        RETURN before;
    END IF;
    PERFORM 1 FROM journal WHERE receipt = receipt_key;
    IF FOUND THEN
        RETURN -1;
    END IF;
    -- The account's row is the lock under which its cap is looked at.
    UPDATE accounts SET balance = balance WHERE account = member;
    IF NOT FOUND THEN
        INSERT INTO accounts VALUES (member, 0) ON CONFLICT DO NOTHING;
        PERFORM 1 FROM accounts WHERE account = member FOR UPDATE;
    END IF;
    SELECT amount * multiplier_bps / 1000000 INTO earns FROM rules WHERE category = line_category;
    SELECT units INTO used FROM day_caps WHERE account = member AND day = receipt_day;
    grants := least(earns, greatest(cap_units - coalesce(used, 0), 0));
    IF grants > 0 THEN
        INSERT INTO day_caps AS caps VALUES (member, receipt_day, grants)
        ON CONFLICT (account, day) DO UPDATE SET units = caps.units + grants;
    END IF;
    UPDATE accounts SET balance = balance + grants WHERE account = member RETURNING balance INTO sum_after;
    INSERT INTO journal (transaction_id, receipt, account, category, amount_minor, earned, granted, balance)
    VALUES (id, receipt_key, member, line_category, amount, earns, grants, sum_after);
    RETURN grants;
END $$;

-- The baskets of one call, made from its number: the same number makes the same baskets. They cost no transfer and no
-- parsing, which favours PostgreSQL.
CREATE FUNCTION baskets(call bigint, basket_count int, account_count int)
RETURNS TABLE (place int, id uuid, member text, receipt_key text, line_category text, amount bigint)
LANGUAGE sql STABLE AS $$
    SELECT n,
           md5('call ' || call || ' basket ' || n)::uuid,
           'member-' || (hashint8(call * 4096 + n)::bigint + 2147483648) % account_count,
           'store-' || n % 40 || '/7/' || call || '-' || n,
           (ARRAY['coffee', 'pastry', 'grocery', 'fuel'])[1 + n % 4],
           100 + (hashint8(call * 4096 - n)::bigint + 2147483648) % 9900
    FROM generate_series(1, basket_count) AS n
$$;

-- Decides many baskets in one transaction, set by set instead of one by one. Baskets of one account and day
-- share the cap in their order.
CREATE FUNCTION accrue_many(basket_count int, account_count int, receipt_day date)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    cap_units CONSTANT bigint := 200;
    call bigint := nextval('calls');
    total bigint;
BEGIN
    INSERT INTO accounts SELECT DISTINCT member, 0 FROM baskets(call, basket_count, account_count) AS basket
    WHERE NOT EXISTS (SELECT FROM accounts WHERE account = member) ORDER BY 1 ON CONFLICT DO NOTHING;
    -- One order for all callers, so that two of them cannot wait for each other.
    PERFORM 1 FROM accounts
    WHERE account IN (SELECT member FROM baskets(call, basket_count, account_count)) ORDER BY account FOR UPDATE;
    -- A statement of its own: it sees what those committed who held the rows before.
    WITH fresh AS (
        SELECT basket.*, amount * multiplier_bps / 1000000 AS earns
        FROM baskets(call, basket_count, account_count) AS basket
        JOIN rules ON category = line_category
        WHERE NOT EXISTS (SELECT FROM journal WHERE transaction_id = id)
          AND NOT EXISTS (SELECT FROM journal WHERE receipt = receipt_key)
    ), summed AS (
        SELECT fresh.*,
               sum(earns) OVER (PARTITION BY member ORDER BY place) AS earns_so_far,
               greatest(cap_units - coalesce(caps.units, 0), 0) AS room
        FROM fresh LEFT JOIN day_caps AS caps ON caps.account = member AND caps.day = receipt_day
    ), judged AS (
        SELECT summed.*, least(earns_so_far, room) - least(earns_so_far - earns, room) AS grants FROM summed
    ), counted AS (
        INSERT INTO day_caps AS caps
        SELECT member, receipt_day, sum(grants) FROM judged GROUP BY member HAVING sum(grants) > 0
        ON CONFLICT (account, day) DO UPDATE SET units = caps.units + excluded.units
    ), credited AS (
        UPDATE accounts SET balance = balance + gain
        FROM (SELECT member, sum(grants) AS gain FROM judged GROUP BY member) AS gains
        WHERE account = member
    ), written AS (
        INSERT INTO journal (transaction_id, receipt, account, category, amount_minor, earned, granted, balance)
        SELECT id, receipt_key, member, line_category, amount, earns, grants,
               old.balance + sum(grants) OVER (PARTITION BY member ORDER BY place)
        FROM judged JOIN accounts AS old ON old.account = member
        ORDER BY place
        RETURNING granted
    )
    SELECT sum(granted) INTO total FROM written;
    RETURN total;
END $$;

-- What must hold after a run: nobody has more than was journaled, and nobody is over the cap.
CREATE VIEW faults AS
SELECT 'balances differ from the journal' AS fault
WHERE (SELECT coalesce(sum(balance), 0) FROM accounts) <> (SELECT coalesce(sum(granted), 0) FROM journal)
UNION ALL
SELECT 'counters differ from the journal'
WHERE (SELECT coalesce(sum(units), 0) FROM day_caps) <> (SELECT coalesce(sum(granted), 0) FROM journal)
UNION ALL
SELECT 'an account is over the cap' WHERE EXISTS (SELECT FROM day_caps WHERE units > 200)
UNION ALL
SELECT 'a balance in the journal is wrong' WHERE EXISTS (
    SELECT FROM accounts JOIN (
        SELECT DISTINCT ON (account) account, balance FROM journal ORDER BY account, position DESC
    ) AS latest USING (account) WHERE accounts.balance <> latest.balance
);
