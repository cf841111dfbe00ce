//! Locations that clients name: saved only where no other image has the object, and no artifact.

use chrono::Utc;

use super::{
    Db,
    conn::Row,
    error::{Error, Result},
    job::{self, NewJob},
    pool::{Transaction, transact},
    rows::cell,
    save,
    sql::Sql,
    task::{self, Ended},
};
use crate::model::{Image, ImageId, Task};

/// An object of a store that an image is about to claim.
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    /// The object's own name, which every address of it holds: an image's id, most often.
    pub name: &'a str,
    /// Whether an address names the object too.
    pub is_same: &'a (dyn Fn(&str) -> bool + Sync),
}

/// What registering a location begins.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// What clients see of it.
    pub task: &'a Task,
    /// What is left to do.
    pub rest: Rest<'a>,
}

/// What a registered location still needs.
#[derive(Clone, Copy, Debug)]
pub enum Rest<'a> {
    /// A job, whose id is the task's.
    Job(&'a NewJob),
    /// Nothing: so the task ends.
    Nothing(&'a Ended),
}

impl Db {
    /// [`Db::image_save`] of an image with new locations, and the task that goes with them: all or
    /// nothing, and one after the other, so that of two images that claim an object one gets it.
    ///
    /// # Errors
    /// [`Error::Taken`] when another image that lives, or an artifact, has the object, or has its name
    /// and may get it at any moment; else as [`Db::image_save`].
    pub async fn location_save(
        &self,
        before: &Image,
        after: &Image,
        claims: &[Claim<'_>],
        work: Option<&Work<'_>>,
    ) -> Result<()> {
        transact!(self.pool, |t| {
            refuse_taken(t, Some(&after.id), claims).await?;
            if let Some(work) = work {
                task::add(t, work.task).await?;
                match work.rest {
                    Rest::Job(job) => job::add(t, job).await?,
                    Rest::Nothing(ended) => task::end(t, work.task.id, ended).await?,
                }
            }
            save::save(t, before, after).await
        })
    }
}

impl Db {
    /// Whether an image or an artifact has the object, or had it and its data is still to be removed.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn object_is_named(&self, claim: &Claim<'_>) -> Result<bool> {
        is_named(&self.pool.fetch(&naming(claim, None)).await?, claim)
    }

    /// Notes that the data of a location that was `pending_delete` is gone.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn location_forget(&self, image: &ImageId, row: i64) -> Result<()> {
        let now = self.pool.dialect().stored(Utc::now().naive_utc());
        let mut sql = Sql::new(
            "UPDATE image_locations SET status = 'deleted', updated_at = ? \
             WHERE id = ? AND image_id = ? AND status = 'pending_delete'",
        );
        sql.bind(now).bind(row).bind(image.as_str());
        self.pool.execute(&sql).await?;
        Ok(())
    }
}

/// From here to the end of the transaction nobody else claims an object. None of these may be anybody's
/// but that image's.
pub(super) async fn refuse_taken(
    t: &mut Transaction,
    image: Option<&ImageId>,
    claims: &[Claim<'_>],
) -> Result<()> {
    one_at_a_time(t).await?;
    for claim in claims {
        if is_taken(t, image, claim).await? {
            return Err(Error::Taken);
        }
    }
    Ok(())
}

/// Holds until the transaction ends. What is read after it is as the last holder left it.
async fn one_at_a_time(t: &mut Transaction) -> Result<()> {
    let lock = t.dialect().for_update();
    let sql = Sql::new(format!(
        "SELECT version FROM fresnel_version WHERE version = 1{lock}"
    ));
    t.fetch(&sql).await?;
    Ok(())
}

/// Whether another image, or an artifact, has the object, or bears its name: uploads are published
/// under the id of the image, or of the blob, before they are recorded.
async fn is_taken(t: &mut Transaction, image: Option<&ImageId>, claim: &Claim<'_>) -> Result<bool> {
    let mut sql = Sql::new("SELECT 1 FROM images WHERE id = ? AND deleted = false");
    sql.bind(claim.name);
    if let Some(image) = image {
        sql.push(" AND id <> ?").bind(image.as_str());
    }
    sql.push(" UNION ALL SELECT 1 FROM fresnel_artifact_blobs WHERE id = ?");
    sql.bind(claim.name);
    if !t.fetch(&sql).await?.is_empty() {
        return Ok(true);
    }
    is_named(&t.fetch(&naming(claim, image)).await?, claim)
}

/// The addresses that may name the object: of artifacts, and of any image, or of any but one.
fn naming(claim: &Claim<'_>, but: Option<&ImageId>) -> Sql {
    // An address may spell any letter of the name as %xx.
    let (name, spelt) = (format!("%{}%", escaped(claim.name)), "%!%%");
    let mut sql = Sql::new(
        "SELECT value FROM image_locations WHERE (deleted = false OR status = 'pending_delete') \
         AND (value LIKE ? ESCAPE '!' OR value LIKE ? ESCAPE '!')",
    );
    sql.bind(name.as_str()).bind(spelt);
    if let Some(image) = but {
        sql.push(" AND image_id <> ?").bind(image.as_str());
    }
    sql.push(
        " UNION ALL SELECT url FROM fresnel_artifact_blobs WHERE is_external = false \
         AND (url LIKE ? ESCAPE '!' OR url LIKE ? ESCAPE '!')",
    );
    sql.bind(name.as_str()).bind(spelt);
    sql
}

fn is_named(rows: &[Row], claim: &Claim<'_>) -> Result<bool> {
    for row in rows {
        if (claim.is_same)(&cell(row.text(0), "image_locations", "value")?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// For `LIKE ... ESCAPE '!'`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '!' | '%' | '_') {
            out.push('!');
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_name_matches_itself_alone() {
        assert_eq!(escaped("a_b%c!"), "a!_b!%c!!");
    }
}
