-- Version 5: staged data, so that any node can import it.

-- One row for each image whose bytes are staged. Host is empty where every node has the store.
CREATE TABLE fresnel_staged (
    image_id VARCHAR(36) NOT NULL PRIMARY KEY,
    store VARCHAR(255) NOT NULL,
    url TEXT /*! CHARACTER SET utf8mb4 */ NOT NULL,
    host VARCHAR(255) /*! CHARACTER SET utf8mb4 */ NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 */;

INSERT INTO fresnel_version (version) VALUES (5);
