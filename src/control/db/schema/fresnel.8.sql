-- Version 8: data that is encrypted as it is staged.

-- What is known of the plain bytes, as JSON; NULL where they lie as they were sent.
ALTER TABLE fresnel_staged ADD COLUMN sealed TEXT /*! CHARACTER SET utf8mb4 */;

INSERT INTO fresnel_version (version) VALUES (8);
