//! What projects may have of artifacts: how many, and of how many bytes. Sums are taken under the lock
//! that reservations for images take: of any number of nodes one counts at a time.

use std::collections::BTreeMap;

use super::{
    super::{
        Db,
        error::{Error, Result},
        pool::{Transaction, transact},
        quota,
        rows::cell,
        sql::{Sql, Value},
    },
    BLOBS, TABLE,
    list::count,
};
use crate::model::artifact::Artifact;

/// A limit of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactLimit {
    /// What counts: artifacts of this type, or of all.
    pub type_name: Option<String>,
    /// The most: of artifacts, or bytes.
    pub most: u64,
}

/// What a limit counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The limit.
    pub limit: ArtifactLimit,
    /// What there is.
    pub there: u64,
}

/// Limits by their names; of -1 there is none.
pub type ArtifactQuota = BTreeMap<String, i64>;

impl Db {
    /// What is set for projects, or for one.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn artifact_quotas(
        &self,
        project: Option<&str>,
    ) -> Result<BTreeMap<String, ArtifactQuota>> {
        const QUOTAS: &str = "fresnel_artifact_quotas";
        let mut sql = Sql::new(format!("SELECT project, name, value FROM {QUOTAS}"));
        if let Some(project) = project {
            sql.push(" WHERE project = ?").bind(project);
        }
        let mut quotas: BTreeMap<String, ArtifactQuota> = BTreeMap::new();
        for row in self.pool.fetch(&sql).await? {
            let project = cell(row.text(0), QUOTAS, "project")?;
            let name = cell(row.text(1), QUOTAS, "name")?;
            let value = cell(row.int(2), QUOTAS, "value")?;
            quotas.entry(project).or_default().insert(name, value);
        }
        Ok(quotas)
    }

    /// Sets them, in place of all that was set for these projects.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn artifact_quotas_set(
        &self,
        quotas: &BTreeMap<String, ArtifactQuota>,
    ) -> Result<()> {
        transact!(self.pool, |t| {
            for (project, limits) in quotas {
                let mut delete = Sql::new("DELETE FROM fresnel_artifact_quotas WHERE project = ?");
                t.execute(delete.bind(project.as_str())).await?;
                for (name, value) in limits {
                    let mut insert = Sql::new(
                        "INSERT INTO fresnel_artifact_quotas (project, name, value) VALUES ",
                    );
                    insert.push_list([
                        Value::from(project.as_str()),
                        Value::from(name.as_str()),
                        Value::from(*value),
                    ]);
                    t.execute(&insert).await?;
                }
            }
            Ok(())
        })
    }
}

/// Keeps all others who count for the owner waiting until this transaction ends. Where nothing is limited
/// nobody counts.
pub(super) async fn lock(
    t: &mut Transaction,
    artifact: &Artifact,
    limits: &[ArtifactLimit],
) -> Result<()> {
    match limits {
        [] => Ok(()),
        _ => quota::lock(t, Some(&artifact.owner)).await,
    }
}

/// Refuses one more artifact than the limits allow.
pub(super) async fn within_number(
    t: &mut Transaction,
    artifact: &Artifact,
    limits: &[ArtifactLimit],
) -> Result<()> {
    for limit in limits {
        let mut sql = Sql::new(format!("SELECT COUNT(*) FROM {TABLE} a WHERE a.owner = ?"));
        sql.bind(artifact.owner.as_str());
        push_type(&mut sql, limit);
        let there = count(&t.fetch(&sql).await?)?;
        if there >= limit.most {
            let limit = limit.clone();
            return Err(Error::OverArtifacts(Counted { limit, there }));
        }
    }
    Ok(())
}

/// How many bytes the limits leave to another blob of the artifact; none is no limit. `wanted` more
/// than that are refused.
pub(super) async fn left_bytes(
    t: &mut Transaction,
    artifact: &Artifact,
    limits: &[ArtifactLimit],
    wanted: Option<u64>,
) -> Result<Option<u64>> {
    let mut left: Option<u64> = None;
    for limit in limits {
        let integer = t.dialect().integer_type();
        let mut sql = Sql::new(format!(
            "SELECT CAST(COALESCE(SUM(b.size_bytes), 0) AS {integer}) FROM {BLOBS} b \
             JOIN {TABLE} a ON a.id = b.artifact_id \
             WHERE b.status <> 'pending_delete' AND a.owner = ?"
        ));
        sql.bind(artifact.owner.as_str());
        push_type(&mut sql, limit);
        let there = count(&t.fetch(&sql).await?)?;
        let room = limit.most.saturating_sub(there);
        if wanted.is_some_and(|wanted| wanted > room) {
            let limit = limit.clone();
            return Err(Error::OverArtifacts(Counted { limit, there }));
        }
        left = Some(left.map_or(room, |left| left.min(room)));
    }
    Ok(left)
}

fn push_type(sql: &mut Sql, limit: &ArtifactLimit) {
    if let Some(type_name) = &limit.type_name {
        sql.push(" AND a.type_name = ?").bind(type_name.as_str());
    }
}
