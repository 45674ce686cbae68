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
