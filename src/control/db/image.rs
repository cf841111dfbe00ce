//! One image, as a viewer may see it.

use super::{
    Db, Found, Viewer,
    error::{Error, Result},
    rows,
    sql::Sql,
};
use crate::model::ImageId;

/// `images.id` has this many letters; no longer id is looked for.
pub(super) const ID_LETTERS_MAX: usize = 36;

impl Db {
    /// The image, in one round trip.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, it is deleted, or the viewer may not see it
    /// (reference C.3).
    pub async fn image(&self, id: &ImageId, viewer: &Viewer) -> Result<Found> {
        let text = id.as_str();
        if !is_storable(text) {
            return Err(Error::NotFound);
        }
        let columns = rows::image_columns(self.pool.dialect());
        let mut sql = Sql::new(format!(
            "SELECT {columns} FROM images i WHERE i.id = ? AND i.deleted IS FALSE AND "
        ));
        sql.bind(text);
        push_visible(&mut sql, viewer);
        sql.push(&rows::children_of_one());
        sql.bind(text).bind(text).bind(text);
        let images = rows::assemble(self.pool.fetch(&sql).await?)?;
        let image = images.into_iter().next().ok_or(Error::NotFound)?;
        Ok(rows::found(image, viewer))
    }
}

/// Whether a row can have this id at all. PostgreSQL's text has no NUL.
pub(super) fn is_storable(id: &str) -> bool {
    id.chars().count() <= ID_LETTERS_MAX && !id.contains('\0')
}

/// The condition under which the viewer may see `i` by its id (reference C.3).
pub(super) fn push_visible(sql: &mut Sql, viewer: &Viewer) {
    if viewer.is_admin {
        sql.push("true");
        return;
    }
    sql.push("(i.owner IS NULL OR i.visibility IN ('public', 'community')");
    if let Some(project) = &viewer.project {
        sql.push(
            " OR i.owner = ? OR (i.visibility = 'shared' AND EXISTS (SELECT 1 \
             FROM image_members m WHERE m.image_id = i.id AND m.member = ? \
             AND m.deleted = false))",
        );
        sql.bind(project.as_str()).bind(project.as_str());
    }
    sql.push(")");
}
