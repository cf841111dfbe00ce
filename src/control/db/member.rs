//! With whom an image is shared (reference A.7, K).

use chrono::Utc;

use super::{
    Db, Viewer,
    conn::Row,
    error::{Error, Result},
    image::is_storable,
    pool::{Transaction, transact},
    rows::cell,
    sql::Sql,
};
use crate::model::{ImageId, Member, MemberStatus, ProjectId};

const COLUMNS: &str = "SELECT m.image_id, m.member, m.status, m.created_at, m.updated_at, m.id, \
                       m.deleted FROM image_members m";

impl Db {
    /// Shares the image; the new member's status is `pending`. A membership that was deleted is
    /// revived, because Glance keeps one row for an image and a project.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when it is shared with that project already; [`Error::NotFound`] when
    /// the image is gone.
    pub async fn member_add(&self, image: &ImageId, member: &ProjectId) -> Result<Member> {
        transact!(self.pool, |t| {
            // The key (image, member, deleted_at) forbids nothing while deleted_at is NULL: the
            // image's row is the lock.
            lock_image(t, image).await?;
            let (rows, now) = (find(t, image, member).await?, Utc::now().naive_utc());
            let now = t.dialect().stored(now);
            let mut revive = None;
            for row in &rows {
                if row.bool(6)? == Some(false) {
                    return Err(Error::Duplicate(format!("member {}", member.as_str())));
                }
                revive = revive.or(row.int(5)?);
            }
            let mut sql = match revive {
                Some(_) => Sql::new(
                    "UPDATE image_members SET status = 'pending', can_share = false, \
                     deleted = false, deleted_at = NULL, updated_at = ? WHERE id = ?",
                ),
                None => Sql::new(
                    "INSERT INTO image_members (image_id, member, can_share, status, created_at, \
                     updated_at, deleted) VALUES (?, ?, false, 'pending', ?, ?, false)",
                ),
            };
            match revive {
                Some(id) => sql.bind(now).bind(id),
                None => sql
                    .bind(image.as_str())
                    .bind(member.as_str())
                    .bind(now)
                    .bind(now),
            };
            t.execute(&sql).await?;
            let member = live(find(t, image, member).await?)?;
            t.tell(|teller| teller.member("image.member.create", &member))
                .await?;
            Ok(member)
        })
    }

    /// The members that the viewer may know of: all of them for the image's owner and an
    /// administrator, itself for a member.
    ///
    /// # Errors
    /// Only those of the database: no members is an empty list.
    pub async fn members(&self, image: &ImageId, viewer: &Viewer) -> Result<Vec<Member>> {
        if !is_storable(image.as_str()) {
            return Ok(Vec::new());
        }
        let mut sql = Sql::new(COLUMNS);
        push_seen(&mut sql, viewer);
        sql.push(" AND m.image_id = ? ORDER BY m.id")
            .bind(image.as_str());
        self.pool.fetch(&sql).await?.iter().map(member_of).collect()
    }

    /// One membership, if the viewer may know of it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn member(
        &self,
        image: &ImageId,
        member: &ProjectId,
        viewer: &Viewer,
    ) -> Result<Member> {
        if !is_storable(image.as_str()) || member.as_str().contains('\0') {
            return Err(Error::NotFound);
        }
        let mut sql = Sql::new(COLUMNS);
        push_seen(&mut sql, viewer);
        sql.push(" AND m.image_id = ? AND m.member = ?");
        sql.bind(image.as_str()).bind(member.as_str());
        let rows = self.pool.fetch(&sql).await?;
        member_of(rows.first().ok_or(Error::NotFound)?)
    }

    /// What the member says to the offered image.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn member_update(
        &self,
        image: &ImageId,
        member: &ProjectId,
        status: MemberStatus,
    ) -> Result<Member> {
        transact!(self.pool, |t| {
            let now = t.dialect().stored(Utc::now().naive_utc());
            let mut sql = Sql::new(
                "UPDATE image_members SET status = ?, updated_at = ? \
                 WHERE image_id = ? AND member = ? AND deleted = false",
            );
            sql.bind(status.as_str()).bind(now);
            t.execute(sql.bind(image.as_str()).bind(member.as_str()))
                .await?;
            let member = live(find(t, image, member).await?)?;
            t.tell(|teller| teller.member("image.member.update", &member))
                .await?;
            Ok(member)
        })
    }

    /// Ends the sharing.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn member_delete(&self, image: &ImageId, member: &ProjectId) -> Result<()> {
        let now = self.pool.dialect().stored(Utc::now().naive_utc());
        let mut sql = Sql::new(
            "UPDATE image_members SET deleted = true, deleted_at = ?, updated_at = ? \
             WHERE image_id = ? AND member = ? AND deleted = false",
        );
        sql.bind(now)
            .bind(now)
            .bind(image.as_str())
            .bind(member.as_str());
        if self.pool.teller().is_none() {
            return match self.pool.execute(&sql).await? {
                0 => Err(Error::NotFound),
                _ => Ok(()),
            };
        }
        transact!(self.pool, |t| {
            // Found first, as the row that is not deleted; the delete says whether it still was.
            let gone = live(find(t, image, member).await?)?;
            if t.execute(&sql).await? == 0 {
                return Err(Error::NotFound);
            }
            t.tell(|teller| teller.member_deleted(&gone, now)).await
        })
    }
}

async fn lock_image(t: &mut Transaction, image: &ImageId) -> Result<()> {
    let mut sql = Sql::new("SELECT 1 FROM images WHERE id = ? AND deleted = false");
    let lock = t.dialect().for_update();
    match t.fetch(sql.bind(image.as_str()).push(lock)).await?.len() {
        0 => Err(Error::NotFound),
        _ => Ok(()),
    }
}

/// Every row of that image and project, deleted or not.
async fn find(t: &mut Transaction, image: &ImageId, member: &ProjectId) -> Result<Vec<Row>> {
    let mut sql = Sql::new(format!(
        "{COLUMNS} WHERE m.image_id = ? AND m.member = ? ORDER BY m.id"
    ));
    t.fetch(sql.bind(image.as_str()).bind(member.as_str()))
        .await
}

/// The row that is not deleted.
fn live(rows: Vec<Row>) -> Result<Member> {
    for row in &rows {
        if row.bool(6)? == Some(false) {
            return member_of(row);
        }
    }
    Err(Error::NotFound)
}

/// The condition under which the viewer may know of a membership.
fn push_seen(sql: &mut Sql, viewer: &Viewer) {
    match (viewer.is_admin, &viewer.project) {
        (true, _) => sql.push(" WHERE m.deleted = false"),
        (false, None) => sql.push(" WHERE false"),
        (false, Some(project)) => sql
            .push(
                " JOIN images i ON i.id = m.image_id WHERE m.deleted = false \
                 AND (i.owner = ? OR m.member = ?)",
            )
            .bind(project.as_str())
            .bind(project.as_str()),
    };
}

fn member_of(row: &Row) -> Result<Member> {
    const TABLE: &str = "image_members";
    let status = cell(row.text(2), TABLE, "status")?;
    let created_at = cell(row.time(3), TABLE, "created_at")?;
    Ok(Member {
        image_id: ImageId::new(cell(row.text(0), TABLE, "image_id")?),
        member: ProjectId::new(cell(row.text(1), TABLE, "member")?),
        status: status.parse::<MemberStatus>().map_err(|_| Error::Corrupt {
            table: TABLE,
            column: "status",
        })?,
        created_at,
        updated_at: row.time(4)?.unwrap_or(created_at),
    })
}
