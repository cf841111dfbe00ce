//! Images that are to be cached before anybody reads them.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::ImageId;

/// Images that wait.
const IMAGES_MAX: usize = 10_000;
/// How often one is tried.
const TRIES_MAX: u32 = 100;

/// They wait in the order in which they were asked for, each once. The process forgets them.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<VecDeque<Waiting>>,
    added: Notify,
}

#[derive(Debug)]
struct Waiting {
    image: ImageId,
    tries: u32,
}

impl Queue {
    /// Whether the image waits now; false where too many do.
    pub fn add(&self, image: &ImageId) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.iter().any(|one| one.image == *image) {
            return true;
        }
        if waiting.len() == IMAGES_MAX {
            return false;
        }
        waiting.push_back(Waiting {
            image: image.clone(),
            tries: 0,
        });
        self.added.notify_one();
        true
    }

    /// It waits no more.
    pub fn remove(&self, image: &ImageId) {
        self.waiting.lock().retain(|one| one.image != *image);
    }

    /// It could not be cached, and may be soon: it waits behind the others. False where it has been tried often
    /// enough, and waits no more.
    pub fn postpone(&self, image: &ImageId) -> bool {
        let mut waiting = self.waiting.lock();
        let place = waiting.iter().position(|one| one.image == *image);
        // Whoever has removed it knows.
        let Some(mut one) = place.and_then(|place| waiting.remove(place)) else {
            return true;
        };
        one.tries += 1;
        let is_tried_again = one.tries < TRIES_MAX;
        if is_tried_again {
            waiting.push_back(one);
        }
        is_tried_again
    }

    /// None waits any more. Tells how many did.
    pub fn clear(&self) -> usize {
        std::mem::take(&mut *self.waiting.lock()).len()
    }

    /// Whether it waits.
    pub fn has(&self, image: &ImageId) -> bool {
        self.waiting.lock().iter().any(|one| one.image == *image)
    }

    /// All of them, the first one first.
    pub fn images(&self) -> Vec<ImageId> {
        let waiting = self.waiting.lock();
        waiting.iter().map(|one| one.image.clone()).collect()
    }

    /// The first, as soon as there is one; it waits until it is [removed](Queue::remove).
    pub async fn first(&self) -> ImageId {
        loop {
            let first = self.waiting.lock().front().map(|one| one.image.clone());
            match first {
                Some(first) => return first,
                None => self.added.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn images_wait_in_order_and_each_once() {
        let queue = Queue::default();
        let [one, two] = ["one", "two"].map(ImageId::new);
        assert!(queue.add(&one) && queue.add(&two) && queue.add(&one));
        assert_eq!(queue.first().await, one);
        queue.remove(&one);
        assert!(!queue.has(&one) && queue.has(&two));
        assert_eq!(queue.first().await, two);
        assert_eq!(queue.clear(), 1);
        assert!(queue.images().is_empty());
    }

    #[tokio::test]
    async fn what_fails_waits_behind_the_others_and_not_for_ever() {
        let queue = Queue::default();
        let [one, two] = ["one", "two"].map(ImageId::new);
        assert!(queue.add(&one) && queue.add(&two));
        for _ in 1..TRIES_MAX {
            assert!(queue.postpone(&one));
            assert_eq!(queue.first().await, two);
        }
        assert!(!queue.postpone(&one) && !queue.has(&one));
        assert!(queue.postpone(&one), "somebody else has removed it");
        assert_eq!(queue.images(), [two]);
    }

    #[test]
    fn more_than_are_remembered_are_refused() {
        let queue = Queue::default();
        let mut all = (0..IMAGES_MAX).map(|number| ImageId::new(number.to_string()));
        assert!(all.all(|image| queue.add(&image)));
        assert!(!queue.add(&ImageId::new("another")));
        assert!(queue.add(&ImageId::new("0")));
    }
}
