//! What waits to be told (reference H.4): rows of `fresnel_events`, written in the transaction of
//! the change that they tell of.
//!
//! The row of the change is locked before its event gets its number, so the numbers of an image's
//! events are in the order of its changes.

use super::{
    Db, NodeId,
    error::{Error, Result},
    pool::Transaction,
    rows::cell,
    sql::Sql,
};
use crate::control::notify::{Event, Teller};

const TABLE: &str = "fresnel_events";

/// A message that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its number: they go out in this order.
    pub id: i64,
    /// The end of its queue's name.
    pub priority: String,
    /// JSON.
    pub message: String,
}

/// What one node does for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Sends what waits.
    Events,
}

impl Duty {
    fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
        }
    }
}

impl Transaction {
    /// Queues what is to be told of the change, if anything is; nothing is asked of the database
    /// where notifications are off.
    pub(super) async fn tell<E: IntoIterator<Item = Event>>(
        &mut self,
        events: impl FnOnce(&Teller) -> E,
    ) -> Result<()> {
        let Some(teller) = self.teller() else {
            return Ok(());
        };
        let events: Vec<Event> = events(teller).into_iter().collect();
        if events.is_empty() {
            return Ok(());
        }
        self.execute(&insert(&events)).await?;
        self.has_told();
        Ok(())
    }
}

impl Db {
    /// Who makes messages, where any are made.
    pub fn teller(&self) -> Option<&std::sync::Arc<Teller>> {
        self.pool.teller()
    }

    /// Queues a message that goes with no change.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn event_add(&self, event: &Event) -> Result<()> {
        self.pool
            .execute(&insert(std::slice::from_ref(event)))
            .await?;
        if let Some(teller) = self.teller() {
            teller.wake();
        }
        Ok(())
    }

    /// The oldest messages: at most `limit`, and of at most `bytes_max` together, but always one.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn events_waiting(&self, limit: u32, bytes_max: u64) -> Result<Vec<Waiting>> {
        let mut sql = Sql::new("SELECT id, size_bytes FROM fresnel_events ORDER BY id LIMIT ?");
        let rows = self.pool.fetch(sql.bind(i64::from(limit))).await?;
        let (mut last, mut sum) = (None, 0);
        for row in &rows {
            sum += cell(row.int(1), TABLE, "size_bytes")?.unsigned_abs();
            if last.is_some() && sum > bytes_max {
                break;
            }
            last = Some(cell(row.int(0), TABLE, "id")?);
        }
        let Some(last) = last else {
            return Ok(Vec::new());
        };
        let mut sql = Sql::new(
            "SELECT id, priority, message FROM fresnel_events WHERE id <= ? ORDER BY id LIMIT ?",
        );
        let rows = self
            .pool
            .fetch(sql.bind(last).bind(i64::from(limit)))
            .await?;
        let waiting = rows.iter().map(|row| {
            Ok(Waiting {
                id: cell(row.int(0), TABLE, "id")?,
                priority: cell(row.text(1), TABLE, "priority")?,
                message: cell(row.text(2), TABLE, "message")?,
            })
        });
        waiting.collect()
    }

    /// How many messages wait.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn events_count(&self) -> Result<u64> {
        let sql = Sql::new("SELECT count(*) FROM fresnel_events");
        let rows = self.pool.fetch(&sql).await?;
        let row = rows.first().ok_or(Error::NotFound)?;
        Ok(cell(row.int(0), TABLE, "count")?.unsigned_abs())
    }

    /// Takes messages away that the broker has, if the duty still is the node's.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn events_done(&self, ids: &[i64], node: NodeId) -> Result<()> {
        let now = self.pool.dialect().clock_us();
        let mut sql = Sql::new(format!(
            "DELETE FROM fresnel_events WHERE EXISTS (SELECT 1 FROM fresnel_duties d \
             JOIN fresnel_nodes n ON n.id = d.node_id WHERE d.name = ? AND d.node_id = ? \
             AND n.lease_until_us > {now}) AND id IN "
        ));
        sql.bind(Duty::Events.as_str()).bind(node.to_string());
        sql.push_list(ids.iter().copied());
        self.pool.execute(&sql).await?;
        Ok(())
    }

    /// Takes the `count` oldest messages away unsent; returns how many there were.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn events_drop(&self, count: u64) -> Result<u64> {
        let mut sql = Sql::new("SELECT id FROM fresnel_events ORDER BY id LIMIT 1 OFFSET ?");
        let offset = i64::try_from(count).unwrap_or(i64::MAX);
        let rows = self.pool.fetch(sql.bind(offset.saturating_sub(1))).await?;
        let Some(row) = rows.first() else {
            return Ok(0);
        };
        let mut sql = Sql::new("DELETE FROM fresnel_events WHERE id <= ?");
        sql.bind(cell(row.int(0), TABLE, "id")?);
        self.pool.execute(&sql).await
    }

    /// Takes a duty, or keeps it. False: another node that lives has it.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn duty_claim(&self, duty: Duty, node: NodeId) -> Result<bool> {
        let now = self.pool.dialect().clock_us();
        let mut sql = Sql::new(format!(
            "UPDATE fresnel_duties SET node_id = ? WHERE name = ? AND (node_id = ? \
             OR node_id IS NULL OR NOT EXISTS (SELECT 1 FROM fresnel_nodes n \
             WHERE n.id = fresnel_duties.node_id AND n.lease_until_us > {now}))"
        ));
        let node = node.to_string();
        sql.bind(node.as_str())
            .bind(duty.as_str())
            .bind(node.as_str());
        Ok(self.pool.execute(&sql).await? == 1)
    }
}

/// One statement, in which their order is that of their numbers.
fn insert(events: &[Event]) -> Sql {
    let mut sql = Sql::new("INSERT INTO fresnel_events (priority, size_bytes, message) VALUES ");
    for (index, event) in events.iter().enumerate() {
        sql.push(if index == 0 {
            "(?, ?, ?)"
        } else {
            ", (?, ?, ?)"
        });
        sql.bind(event.priority.as_str());
        sql.bind(event.message.len() as i64);
        sql.bind(event.message.as_str());
    }
    sql
}
