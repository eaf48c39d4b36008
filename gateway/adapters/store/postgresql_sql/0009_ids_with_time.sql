-- An outcome asks of its prediction which attempt it was and when, and nothing else: with both in the index by id, a
-- drain of late outcomes reads no page of the predictions themselves, once vacuum has seen the page.
DROP INDEX predictions_by_id;
CREATE INDEX predictions_by_id ON predictions (tag, body) INCLUDE (attempt, at);
