//! Glance's records of what nodes have in their caches (`node_reference`, `cached_images`): its tools
//! show them, and we keep those of this node as Glance does its own.

use std::time::SystemTime;

use chrono::{DateTime, NaiveDateTime, Utc};

use super::{
    Db,
    conn::Row,
    error::{Error, Result},
    rows::cell,
    sql::Sql,
};
use crate::model::ImageId;

const NODES: &str = "node_reference";
const IMAGES: &str = "cached_images";

/// A node, by its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeRow(i64);

/// What is told of a cached image.
#[derive(Clone, Debug)]
pub struct CachedImage {
    /// The image.
    pub image: ImageId,
    /// Bytes.
    pub size_bytes: u64,
    /// Downloads that it served.
    pub hits: u64,
    /// The last of them.
    pub accessed: SystemTime,
    /// When it became whole.
    pub modified: SystemTime,
}

impl Db {
    /// The row of the node at that address, which is made where there is none.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn cache_node(&self, url: &str) -> Result<NodeRow> {
        if let Some(row) = self.find_node(url).await? {
            return Ok(row);
        }
        let mut add = Sql::new("INSERT INTO node_reference (node_reference_url) VALUES (?)");
        match self.pool.execute(add.bind(url)).await {
            // Another process of this node was first.
            Ok(_) | Err(Error::Duplicate(_)) => {}
            Err(error) => return Err(error),
        }
        self.find_node(url).await?.ok_or(Error::NotFound)
    }

    async fn find_node(&self, url: &str) -> Result<Option<NodeRow>> {
        let mut sql =
            Sql::new("SELECT node_reference_id FROM node_reference WHERE node_reference_url = ?");
        let rows = self.pool.fetch(sql.bind(url)).await?;
        let id = |row: &Row| cell(row.int(0), NODES, "node_reference_id").map(NodeRow);
        rows.first().map(id).transpose()
    }

    /// The images that a node is recorded to have.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn cached_images(&self, node: NodeRow) -> Result<Vec<ImageId>> {
        let mut sql = Sql::new("SELECT image_id FROM cached_images WHERE node_reference_id = ?");
        let rows = self.pool.fetch(sql.bind(node.0)).await?;
        let image = |row: &Row| cell(row.text(0), IMAGES, "image_id");
        rows.iter()
            .map(|row| image(row).map(ImageId::new))
            .collect()
    }

    /// The addresses of the nodes that have an image.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn cached_nodes(&self, image: &ImageId) -> Result<Vec<String>> {
        let mut sql = Sql::new(
            "SELECT n.node_reference_url FROM node_reference n JOIN cached_images c \
             ON c.node_reference_id = n.node_reference_id WHERE c.image_id = ? \
             ORDER BY n.node_reference_id",
        );
        let rows = self.pool.fetch(sql.bind(image.as_str())).await?;
        let url = |row: &Row| cell(row.text(0), NODES, "node_reference_url");
        rows.iter().map(url).collect()
    }

    /// Records that a node has an image. One that is recorded stays as it is.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn cached_image_add(&self, node: NodeRow, cached: &CachedImage) -> Result<()> {
        let mut sql = Sql::new(
            "INSERT INTO cached_images (image_id, last_accessed, last_modified, size, hits, \
             node_reference_id) VALUES (?, ?, ?, ?, ?, ?)",
        );
        sql.bind(cached.image.as_str());
        sql.bind(self.moment(cached.accessed));
        sql.bind(self.moment(cached.modified));
        sql.bind(i64::try_from(cached.size_bytes).unwrap_or(i64::MAX));
        sql.bind(i64::try_from(cached.hits).unwrap_or(i64::MAX));
        match self.pool.execute(sql.bind(node.0)).await {
            Ok(_) | Err(Error::Duplicate(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Records that an image served so many downloads more.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn cached_image_hit(
        &self,
        node: NodeRow,
        image: &ImageId,
        hits: u64,
        accessed: SystemTime,
    ) -> Result<()> {
        let mut sql = Sql::new(
            "UPDATE cached_images SET hits = hits + ?, last_accessed = ? \
             WHERE image_id = ? AND node_reference_id = ?",
        );
        sql.bind(i64::try_from(hits).unwrap_or(i64::MAX));
        sql.bind(self.moment(accessed)).bind(image.as_str());
        self.pool.execute(sql.bind(node.0)).await?;
        Ok(())
    }

    /// Records that a node does not have an image any more.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn cached_image_remove(&self, node: NodeRow, image: &ImageId) -> Result<()> {
        let mut sql =
            Sql::new("DELETE FROM cached_images WHERE image_id = ? AND node_reference_id = ?");
        sql.bind(image.as_str());
        self.pool.execute(sql.bind(node.0)).await?;
        Ok(())
    }

    fn moment(&self, time: SystemTime) -> NaiveDateTime {
        let time = DateTime::<Utc>::from(time).naive_utc();
        self.pool.dialect().stored(time)
    }
}
