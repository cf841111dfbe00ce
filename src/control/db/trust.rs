//! Trusts: by which of Keystone's trusts a job acts for its user. A row is there until the trust is ended.

use std::time::Duration;

use super::{Db, JobId, NodeId, error::Result, journal::micros, rows::cell, sql::Sql};

const TABLE: &str = "fresnel_trusts";

impl Db {
    /// A trust was made for a job that this node is about to record.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn trust_add(&self, trust: &str, job: JobId, node: NodeId) -> Result<()> {
        let now = self.pool.dialect().clock_us();
        let mut sql = Sql::new(format!(
            "INSERT INTO fresnel_trusts (trust, job_id, node_id, made_at_us) VALUES (?, ?, ?, {now})"
        ));
        sql.bind(trust).bind(job.to_string());
        self.pool.execute(sql.bind(node.to_string())).await?;
        Ok(())
    }

    /// The trust of a job.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn trust_of(&self, job: JobId) -> Result<Option<String>> {
        let mut sql = Sql::new("SELECT trust FROM fresnel_trusts WHERE job_id = ?");
        let rows = self.pool.fetch(sql.bind(job.to_string())).await?;
        let trust = rows.first().map(|row| cell(row.text(0), TABLE, "trust"));
        trust.transpose()
    }

    /// Trusts whose jobs are over, or were never recorded: of a node that lives only those older than `age`.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn trusts_over(&self, age: Duration, limit: u32) -> Result<Vec<String>> {
        let now = self.pool.dialect().clock_us();
        let mut sql = Sql::new(format!(
            "SELECT t.trust FROM fresnel_trusts t \
             WHERE NOT EXISTS (SELECT 1 FROM fresnel_jobs j WHERE j.id = t.job_id) \
             AND (t.made_at_us <= {now} - ? OR NOT EXISTS (SELECT 1 FROM fresnel_nodes n \
             WHERE n.id = t.node_id AND n.lease_until_us > {now})) ORDER BY t.made_at_us LIMIT ?"
        ));
        sql.bind(micros(age)).bind(i64::from(limit));
        let rows = self.pool.fetch(&sql).await?;
        rows.iter()
            .map(|row| cell(row.text(0), TABLE, "trust"))
            .collect()
    }

    /// A trust is ended.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn trust_forget(&self, trust: &str) -> Result<()> {
        let mut sql = Sql::new("DELETE FROM fresnel_trusts WHERE trust = ?");
        self.pool.execute(sql.bind(trust)).await?;
        Ok(())
    }
}
