-- Version 4: a write whose bytes wait for their store no longer holds its image.

-- Its writer is at an end and its image is as if it had not been; what is left to do is to remove the
-- bytes, when the store answers.
ALTER TABLE fresnel_writes ADD COLUMN released BOOLEAN NOT NULL DEFAULT false;

INSERT INTO fresnel_version (version) VALUES (4);
