//! An image, as a viewer may see it.

use super::{
    Db, Found, Viewer,
    dialect::Dialect,
    error::{Error, Result},
    pool::Transaction,
    rows,
    sql::Sql,
    together::Read,
};
use crate::model::{Image, ImageId};

/// `images.id` has this many letters; no longer id is looked for.
pub(super) const ID_LETTERS_MAX: usize = 36;

impl Db {
    /// The image, in one round trip, which reads that come at the same time may share.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, it is deleted, or the viewer may not see it
    /// (reference C.3).
    pub async fn image(&self, id: &ImageId, viewer: &Viewer) -> Result<Found> {
        if !is_storable(id.as_str()) {
            return Err(Error::NotFound);
        }
        match self.together.read(id, viewer).await {
            Read::Answered(found) => return Ok(*found),
            Read::Turn(turn) => {
                let ids = turn.ids(id);
                let read = self.images_of(&ids, viewer).await;
                turn.answer(read.as_deref().unwrap_or_default());
                if ids.len() == 1 {
                    return read?.into_iter().next().ok_or(Error::NotFound);
                }
                let own = |found: &Found| found.image.id == *id;
                if let Some(found) = read.unwrap_or_default().into_iter().find(own) {
                    return Ok(found);
                }
            }
            Read::Alone => {}
        }
        // To MySQL an id in other letters is the same: only the database can tell that it is not
        // there. And what failed may have been somebody else's row.
        let found = self.images_of(std::slice::from_ref(id), viewer).await?;
        found.into_iter().next().ok_or(Error::NotFound)
    }

    /// Those of the images that are there for the viewer.
    async fn images_of(&self, ids: &[ImageId], viewer: &Viewer) -> Result<Vec<Found>> {
        let sql = select(self.pool.dialect(), ids, viewer);
        let images = rows::assemble(self.pool.fetch(&sql).await?)?.into_iter();
        Ok(images.map(|image| rows::found(image, viewer)).collect())
    }
}

/// The image, whoever may see it, as a part of a transaction.
pub(super) async fn load(t: &mut Transaction, id: &ImageId) -> Result<Image> {
    let all = Viewer {
        project: None,
        is_admin: true,
    };
    let sql = select(t.dialect(), std::slice::from_ref(id), &all);
    let images = rows::assemble(t.fetch(&sql).await?)?;
    images.into_iter().next().ok_or(Error::NotFound)
}

/// The rows of those of the images that are there for the viewer.
fn select(dialect: Dialect, ids: &[ImageId], viewer: &Viewer) -> Sql {
    let columns = rows::image_columns(dialect);
    let mut sql = Sql::new(format!(
        "SELECT {columns} FROM images i /*! FORCE INDEX (PRIMARY) */ WHERE i.id IN "
    ));
    sql.push_list(ids.iter().map(ImageId::as_str));
    sql.push(" AND i.deleted IS FALSE AND ");
    push_visible(&mut sql, viewer);
    sql.push(&rows::children_beside_images(ids.len()));
    for _ in 0..3 {
        for id in ids {
            sql.bind(id.as_str());
        }
    }
    sql
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
