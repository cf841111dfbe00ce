//! Locations that clients name: saved only where no other image has the object.

use super::{
    Db,
    error::{Error, Result},
    job::{self, NewJob},
    pool::{Transaction, transact},
    rows::cell,
    save,
    sql::Sql,
};
use crate::model::{Image, ImageId};

/// An object of a store that an image is about to claim.
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    /// The object's own name, which every address of it holds: an image's id, most often.
    pub name: &'a str,
    /// Whether an address names the object too.
    pub is_same: &'a (dyn Fn(&str) -> bool + Sync),
}

impl Db {
    /// [`Db::image_save`] of an image with new locations, and the job that goes with them: all or
    /// nothing, and one after the other, so that of two images that claim an object one gets it.
    ///
    /// # Errors
    /// [`Error::Taken`] when another image that lives has the object, or has its name and may get
    /// it at any moment; else as [`Db::image_save`].
    pub async fn location_save(
        &self,
        before: &Image,
        after: &Image,
        claims: &[Claim<'_>],
        job: Option<&NewJob>,
    ) -> Result<()> {
        transact!(self.pool, |t| {
            one_at_a_time(t).await?;
            for claim in claims {
                if is_taken(t, &after.id, claim).await? {
                    return Err(Error::Taken);
                }
            }
            if let Some(job) = job {
                job::add(t, job).await?;
            }
            save::save(t, before, after).await
        })
    }
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

/// Whether another image has the object, or bears its name: uploads are published under the
/// image's id before they are recorded.
async fn is_taken(t: &mut Transaction, image: &ImageId, claim: &Claim<'_>) -> Result<bool> {
    let mut sql = Sql::new("SELECT 1 FROM images WHERE id = ? AND id <> ? AND deleted = false");
    sql.bind(claim.name).bind(image.as_str());
    if !t.fetch(&sql).await?.is_empty() {
        return Ok(true);
    }
    // An address may spell any letter of the name as %xx.
    let mut sql = Sql::new(
        "SELECT value FROM image_locations WHERE image_id <> ? \
         AND (deleted = false OR status = 'pending_delete') \
         AND (value LIKE ? ESCAPE '!' OR value LIKE ? ESCAPE '!')",
    );
    sql.bind(image.as_str());
    sql.bind(format!("%{}%", escaped(claim.name))).bind("%!%%");
    for row in t.fetch(&sql).await? {
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
