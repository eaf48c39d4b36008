-- A chain of seals over each timeline. lines, head: how many sealed lines there are, and the last one's seal.

ALTER TABLE documents ADD COLUMN lines INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN head TEXT NOT NULL DEFAULT '';
ALTER TABLE decisions ADD COLUMN seal TEXT;  -- null: made before there were seals
