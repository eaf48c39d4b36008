-- Each line of a timeline carries the digest of the document written with it and the seal that chains it (core/audit.py).

ALTER TABLE decisions ADD COLUMN document TEXT NOT NULL DEFAULT '';
ALTER TABLE decisions ADD COLUMN seal TEXT NOT NULL DEFAULT '';
