//! Answers that many wait for are asked for once, and kept for a while. A question ends with the last
//! who waits for it, so that there are no more questions than connections.

use std::{collections::HashMap, future::Future, hash::Hash, sync::Arc, time::Instant};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use parking_lot::Mutex;

use super::Error;

/// Answers by what was asked, at most so many.
#[derive(Debug)]
pub(super) struct Flights<K, V>(Arc<Mutex<State<K, V>>>);

struct State<K, V> {
    entries_max: usize,
    entries: HashMap<K, Entry<V>>,
    under_way: HashMap<K, WeakShared<Question<V>>>,
}

#[derive(Debug)]
struct Entry<V> {
    value: Arc<V>,
    until: Instant,
}

type Question<V> = BoxFuture<'static, Result<Arc<V>, Error>>;

/// A question's place among those that are under way, which goes with it.
struct UnderWay<K: Eq + Hash, V> {
    state: Arc<Mutex<State<K, V>>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for UnderWay<K, V> {
    fn drop(&mut self) {
        self.state.lock().under_way.remove(&self.key);
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Send + Sync + 'static,
{
    /// Keeps at most `entries_max` answers.
    pub(super) fn new(entries_max: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            entries_max,
            entries: HashMap::new(),
            under_way: HashMap::new(),
        })))
    }

    /// The answer that is kept, else that of `ask`, which says how long it may be kept. Whoever
    /// asks the same meanwhile waits with us; who leaves does not end the question of the others.
    pub(super) async fn get<F>(&self, key: &K, ask: impl FnOnce() -> F) -> Result<Arc<V>, Error>
    where
        F: Future<Output = Result<(V, Instant), Error>> + Send + 'static,
    {
        let waiting = {
            let mut state = self.0.lock();
            if let Some(value) = state.kept(key) {
                return Ok(value);
            }
            let under_way = state.under_way.get(key).and_then(WeakShared::upgrade);
            under_way.unwrap_or_else(|| {
                let waiting = self.begin(key.clone(), ask());
                let own = waiting.downgrade().expect("it was not polled yet");
                state.under_way.insert(key.clone(), own);
                waiting
            })
        };
        waiting.await
    }

    /// Ends the time of the answer that is kept: the next who wants it asks again.
    pub(super) fn expire(&self, key: &K) {
        if let Some(entry) = self.0.lock().entries.get_mut(key) {
            entry.until = entry.until.min(Instant::now());
        }
    }

    /// The answer that was kept last, even where its time is over.
    pub(super) fn last(&self, key: &K) -> Option<(Arc<V>, Instant)> {
        let state = self.0.lock();
        let entry = state.entries.get(key)?;
        Some((entry.value.clone(), entry.until))
    }

    fn begin<F>(&self, key: K, question: F) -> Shared<Question<V>>
    where
        F: Future<Output = Result<(V, Instant), Error>> + Send + 'static,
    {
        let state = Arc::clone(&self.0);
        let place = UnderWay { state, key };
        let question = async move {
            let (value, until) = question.await?;
            let UnderWay { state, key } = &place;
            let value = Arc::new(value);
            state.lock().keep(key.clone(), value.clone(), until);
            Ok(value)
        };
        question.boxed().shared()
    }
}

impl<K: Eq + Hash, V> State<K, V> {
    fn kept(&self, key: &K) -> Option<Arc<V>> {
        let entry = self.entries.get(key)?;
        (Instant::now() < entry.until).then(|| entry.value.clone())
    }

    fn keep(&mut self, key: K, value: Arc<V>, until: Instant) {
        let now = Instant::now();
        if self.entries.len() >= self.entries_max {
            self.entries.retain(|_, entry| now < entry.until);
        }
        if self.entries.len() >= self.entries_max {
            // The half that would go first; so the search is paid for by many insertions.
            let mut ends: Vec<Instant> = self.entries.values().map(|entry| entry.until).collect();
            let middle = ends.len() / 2;
            let median = *ends.select_nth_unstable(middle).1;
            self.entries.retain(|_, entry| median < entry.until);
        }
        self.entries.insert(key, Entry { value, until });
    }
}

impl<K, V> std::fmt::Debug for State<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entries = self.entries.len();
        f.debug_struct("State")
            .field("entries", &entries)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn many_who_ask_the_same_ask_once() {
        let flights = Arc::new(Flights::<u8, u8>::new(8));
        let asked = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let asked = asked.clone();
            move || async move {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok((7, Instant::now() + MINUTE))
            }
        };
        let all = (0..20).map(|_| {
            let (flights, ask) = (flights.clone(), ask());
            async move { flights.get(&1, ask).await.map(|value| *value) }
        });
        for answer in futures_util::future::join_all(all).await {
            assert_eq!(answer.unwrap(), 7);
        }
        assert_eq!(flights.get(&1, ask()).await.map(|value| *value).unwrap(), 7);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn failures_and_old_answers_are_asked_for_again() {
        let flights = Flights::<u8, u8>::new(8);
        let failed = flights.get(&1, || async { Err(Error::Invalid) }).await;
        assert!(matches!(failed, Err(Error::Invalid)));
        let old = flights.get(&1, || async { Ok((1, Instant::now())) }).await;
        assert_eq!(*old.unwrap(), 1);
        let new = flights.get(&1, || async { Ok((2, Instant::now())) }).await;
        assert_eq!(*new.unwrap(), 2);
        assert_eq!(*flights.last(&1).unwrap().0, 2);
    }

    #[tokio::test]
    async fn no_more_are_kept_than_allowed() {
        let flights = Flights::<u32, u32>::new(8);
        for key in 0..100 {
            let until = Instant::now() + MINUTE;
            flights
                .get(&key, || async move { Ok((key, until)) })
                .await
                .unwrap();
        }
        assert!(flights.0.lock().entries.len() <= 8);
        assert!(flights.last(&99).is_some());
    }

    #[tokio::test]
    async fn a_question_ends_with_the_last_who_waits() {
        let flights = Flights::<u8, u8>::new(8);
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let mut first = Box::pin(flights.get(&1, || async move {
            gone.await.ok();
            Ok((5, Instant::now() + MINUTE))
        }));
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(flights.get(&1, || async { Err(Error::Invalid) }));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!(!go.is_closed());
        drop(second);
        assert!(go.is_closed() && flights.0.lock().under_way.is_empty());
    }

    #[tokio::test]
    async fn who_leaves_does_not_end_the_question_of_others() {
        let flights = Flights::<u8, u8>::new(8);
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let mut first = Box::pin(flights.get(&1, || async move {
            gone.await.ok();
            Ok((5, Instant::now() + MINUTE))
        }));
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(flights.get(&1, || async { Err(Error::Invalid) }));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        go.send(()).unwrap();
        assert_eq!(*second.await.unwrap(), 5);
    }
}
