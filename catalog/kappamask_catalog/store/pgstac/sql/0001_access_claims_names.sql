-- Whose a collection is. A collection without a row was put by another tool: only operators see it.
CREATE TABLE kappamask.collection_access (
    collection text PRIMARY KEY
        REFERENCES pgstac.collections (id) ON DELETE CASCADE ON UPDATE CASCADE,
    owner text,
    visibility text NOT NULL CHECK (visibility IN ('public', 'private'))
);

-- Rows stay when a claim ends, so that the tokens of a key never go back.
CREATE TABLE kappamask.claims (
    key text PRIMARY KEY,
    token bigint NOT NULL,
    holder text NOT NULL,
    expires timestamptz  -- NULL: the claim was ended
);

-- Names of properties that items of a collection have or once had. Which of them are still there
-- is looked up in the items; this only spares reading all of them.
CREATE TABLE kappamask.property_names (
    collection text NOT NULL
        REFERENCES pgstac.collections (id) ON DELETE CASCADE ON UPDATE CASCADE,
    name text NOT NULL,
    PRIMARY KEY (collection, name)
);

GRANT USAGE ON SCHEMA kappamask TO pgstac_ingest;
GRANT SELECT ON kappamask.migrations TO pgstac_ingest;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON kappamask.collection_access, kappamask.claims, kappamask.property_names
    TO pgstac_ingest;

-- What filters need and PostgreSQL lacks. None of them fails, whatever a property holds.

-- A time of RFC 3339 or a date, NULL for everything else.
CREATE FUNCTION kappamask.parse_time(value jsonb) RETURNS timestamptz AS $$
DECLARE
    found text := value #>> '{}';
BEGIN
    IF jsonb_typeof(value) = 'string' AND found ~
        '^\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d))?$'
    THEN
        RETURN found::timestamptz;
    END IF;
    RETURN NULL;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;  -- of no calendar, such as 30 February
END;
$$ LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET TimeZone = 'UTC';

CREATE FUNCTION kappamask.power(base numeric, exponent numeric) RETURNS numeric AS $$
BEGIN
    RETURN pg_catalog.power(base::float8, exponent::float8)::numeric;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;  -- no real number, or too large
END;
$$ LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE;

-- By the rules of Unicode, which the locale of a database may not know.
DO $$ BEGIN
    IF to_regcollation('pg_catalog."und-x-icu"') IS NULL THEN
        CREATE FUNCTION kappamask.fold_case(value text) RETURNS text
            LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT lower(upper(value))';
    ELSE
        CREATE FUNCTION kappamask.fold_case(value text) RETURNS text
            LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
            AS 'SELECT lower(upper(value COLLATE "und-x-icu") COLLATE "und-x-icu") COLLATE "default"';
    END IF;
END $$;

-- Without the characters that combine with the one before them.
CREATE FUNCTION kappamask.strip_accents(value text) RETURNS text AS $$
    SELECT normalize(regexp_replace(
        normalize(value, NFD),
        '[\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]',
        '', 'g'
    ), NFC);
$$ LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION kappamask.same_elements(a jsonb, b jsonb) RETURNS boolean AS $$
    SELECT a @> b AND a <@ b;
$$ LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION kappamask.common_elements(a jsonb, b jsonb) RETURNS boolean AS $$
    SELECT EXISTS (
        SELECT FROM jsonb_array_elements(a) AS x JOIN jsonb_array_elements(b) AS y
            ON x.value = y.value
    );
$$ LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE;
