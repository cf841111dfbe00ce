//! Reads of single images that share a statement.
//!
//! Most of what a database spends on one image it spends on the statement: asked for in eights, an
//! image costs MariaDB a quarter of what it costs alone. So a read goes at once while its viewer has
//! few statements under way, and else waits until one of them ends, for [`WAIT_MAX`] at most. Then
//! all that wait go together. No read is answered by a statement that began before it came, so
//! everybody sees what he has written.
//!
//! One of the readers carries the statement for the others ([`Turn`]). When its client goes
//! meanwhile, another does; whom the statement tells nothing, because it failed or found nothing,
//! asks alone.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};

use super::{Found, Viewer};
use crate::model::ImageId;

/// The longest that a read waits for a statement that is under way: about what one takes.
const WAIT_MAX: Duration = Duration::from_millis(3);

/// The images of one statement. More than sixteen make an image hardly cheaper, and a statement of
/// each number stays prepared.
const TOGETHER_MAX: usize = 16;

/// Who reads, and who waits. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Together {
    /// Only of viewers that read just now.
    viewers: Arc<Mutex<HashMap<Viewer, Reads>>>,
    /// Statements of one viewer before the next read waits.
    at_once_max: usize,
}

/// The reads of one viewer.
#[derive(Debug, Default)]
struct Reads {
    under_way: usize,
    waiting: Vec<Waiting>,
    tickets: u64,
}

#[derive(Debug)]
struct Waiting {
    id: ImageId,
    ticket: u64,
    reply: oneshot::Sender<Reply>,
}

/// What becomes of a read that waited.
#[derive(Debug)]
enum Reply {
    Answer(Box<Found>),
    Turn(Turn),
}

/// How a read goes on.
#[derive(Debug)]
pub(super) enum Read {
    /// Somebody else has read it.
    Answered(Box<Found>),
    /// Send the statement, then [`Turn::answer`].
    Turn(Turn),
    /// It was asked for together with others, and not found.
    Alone,
}

/// The right to send a statement, for oneself and for others. Dropped, it leaves them waiting, and
/// passes on.
#[derive(Debug)]
pub(super) struct Turn {
    together: Together,
    viewer: Viewer,
    others: Vec<Waiting>,
}

impl Together {
    /// So many statements of one viewer at once, before reads wait for each other.
    pub(super) fn new(at_once_max: usize) -> Self {
        Self {
            viewers: Arc::default(),
            at_once_max: at_once_max.max(1),
        }
    }

    /// Waits for the read's turn, or for somebody else's answer.
    pub(super) async fn read(&self, id: &ImageId, viewer: &Viewer) -> Read {
        let (ticket, mut reply) = {
            let mut viewers = self.viewers.lock();
            let reads = viewers.entry(viewer.clone()).or_default();
            if reads.under_way < self.at_once_max {
                reads.under_way += 1;
                return Read::Turn(self.turn(viewer, Vec::new()));
            }
            reads.wait(id)
        };
        let replied = match timeout(WAIT_MAX, &mut reply).await {
            Ok(replied) => replied,
            Err(_) => match self.overdue(viewer, ticket) {
                Some(turn) => return Read::Turn(turn),
                // It is part of a statement that is under way.
                None => reply.await,
            },
        };
        match replied {
            Ok(Reply::Answer(found)) => Read::Answered(found),
            Ok(Reply::Turn(turn)) => Read::Turn(turn),
            Err(_) => Read::Alone,
        }
    }

    fn turn(&self, viewer: &Viewer, others: Vec<Waiting>) -> Turn {
        Turn {
            together: self.clone(),
            viewer: viewer.clone(),
            others,
        }
    }

    /// A turn beyond the number, if the read still waits.
    fn overdue(&self, viewer: &Viewer, ticket: u64) -> Option<Turn> {
        let mut viewers = self.viewers.lock();
        let reads = viewers.get_mut(viewer)?;
        let at = reads.waiting.iter().position(|w| w.ticket == ticket)?;
        reads.waiting.remove(at);
        reads.under_way += 1;
        let others = reads.take(TOGETHER_MAX - 1);
        Some(self.turn(viewer, others))
    }

    /// A turn has ended: the next, if somebody waits.
    fn pass_on(&self, viewer: &Viewer, unanswered: Vec<Waiting>) {
        let next = {
            let mut viewers = self.viewers.lock();
            let Some(reads) = viewers.get_mut(viewer) else {
                return;
            };
            reads.waiting.splice(0..0, unanswered);
            reads.waiting.retain(|waiting| !waiting.reply.is_closed());
            if reads.waiting.is_empty() || reads.under_way > self.at_once_max {
                reads.under_way -= 1;
                if reads.under_way == 0 && reads.waiting.is_empty() {
                    viewers.remove(viewer);
                }
                return;
            }
            let first = reads.waiting.remove(0);
            (first, self.turn(viewer, reads.take(TOGETHER_MAX - 1)))
        };
        let (first, turn) = next;
        // Who is gone drops the turn, which passes on again.
        drop(first.reply.send(Reply::Turn(turn)));
    }
}

impl Reads {
    fn wait(&mut self, id: &ImageId) -> (u64, oneshot::Receiver<Reply>) {
        let (sender, receiver) = oneshot::channel();
        let ticket = self.tickets;
        self.tickets += 1;
        self.waiting.push(Waiting {
            id: id.clone(),
            ticket,
            reply: sender,
        });
        (ticket, receiver)
    }

    fn take(&mut self, max: usize) -> Vec<Waiting> {
        let count = self.waiting.len().min(max);
        self.waiting.drain(..count).collect()
    }
}

impl Turn {
    /// What to ask for: `own`, and the images of the others, each once.
    pub(super) fn ids(&self, own: &ImageId) -> Vec<ImageId> {
        let mut ids = vec![own.clone()];
        for waiting in &self.others {
            if !ids.contains(&waiting.id) {
                ids.push(waiting.id.clone());
            }
        }
        ids
    }

    /// Tells the others what was found. Each of the rest is to ask alone.
    pub(super) fn answer(mut self, found: &[Found]) {
        for waiting in std::mem::take(&mut self.others) {
            if let Some(own) = found.iter().find(|found| found.image.id == waiting.id) {
                // Who is gone needs no answer.
                drop(waiting.reply.send(Reply::Answer(Box::new(own.clone()))));
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let unanswered = std::mem::take(&mut self.others);
        self.together.pass_on(&self.viewer, unanswered);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;
    use crate::model::Image;

    fn viewer() -> Viewer {
        Viewer {
            project: None,
            is_admin: true,
        }
    }

    fn id(name: &str) -> ImageId {
        ImageId::new(name)
    }

    fn found(name: &str) -> Found {
        Found {
            image: Image::queued(id(name), chrono::DateTime::UNIX_EPOCH.naive_utc()),
            member: None,
        }
    }

    async fn turn(together: &Together, name: &str) -> Turn {
        match together.read(&id(name), &viewer()).await {
            Read::Turn(turn) => turn,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_go_together_and_each_gets_its_own() {
        let together = Together::new(1);
        let first = turn(&together, "a").await;
        assert_eq!(first.ids(&id("a")).len(), 1);
        let (viewer, ids) = (viewer(), ["b", "c", "b", "none"].map(id));
        let mut waiting = ids
            .each_ref()
            .map(|id| Box::pin(together.read(id, &viewer)));
        for read in &mut waiting {
            assert!(read.now_or_never().is_none());
        }
        first.answer(&[found("a")]);
        let [b, c, again, none] = waiting;
        let Read::Turn(second) = b.await else {
            panic!("the oldest goes first")
        };
        assert_eq!(second.ids(&id("b")), ["b", "c", "none"].map(id));
        second.answer(&[found("c"), found("b")]);
        let name = |read| match read {
            Read::Answered(found) => Some(found.image.id),
            Read::Alone => None,
            Read::Turn(_) => panic!("its turn was over"),
        };
        assert_eq!(name(c.await), Some(id("c")));
        assert_eq!(name(again.await), Some(id("b")));
        assert_eq!(name(none.await), None);
        assert!(together.viewers.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_a_statement_that_hangs() {
        let together = Together::new(1);
        let hanging = turn(&together, "a").await;
        let late = turn(&together, "b").await;
        drop((hanging, late));
        assert!(together.viewers.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_goes_leaves_its_turn_to_the_others() {
        let together = Together::new(1);
        let first = turn(&together, "a").await;
        let viewer = viewer();
        let (b, c) = (id("b"), id("c"));
        let mut leader = Box::pin(together.read(&b, &viewer));
        let mut other = pin!(together.read(&c, &viewer));
        assert!(leader.as_mut().now_or_never().is_none());
        assert!(other.as_mut().now_or_never().is_none());
        drop(first);
        drop(leader);
        let Read::Turn(turn) = other.await else {
            panic!("it has the turn")
        };
        assert!(turn.others.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn viewers_do_not_wait_for_each_other() {
        let together = Together::new(1);
        let held = turn(&together, "a").await;
        let other = Viewer {
            project: Some(crate::model::ProjectId::new("p")),
            is_admin: false,
        };
        let id = id("a");
        let read = together.read(&id, &other).now_or_never();
        assert!(matches!(read, Some(Read::Turn(_))));
        drop(held);
    }
}
