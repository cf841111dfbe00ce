//! Images that are to be cached before anybody reads them.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::ImageId;

/// Images that wait.
const IMAGES_MAX: usize = 10_000;

/// They wait in the order in which they were asked for, each once. The process forgets them.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<VecDeque<ImageId>>,
    added: Notify,
}

impl Queue {
    /// Whether the image waits now; false where too many do.
    pub fn add(&self, image: &ImageId) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.contains(image) {
            return true;
        }
        if waiting.len() == IMAGES_MAX {
            return false;
        }
        waiting.push_back(image.clone());
        self.added.notify_one();
        true
    }

    /// It waits no more.
    pub fn remove(&self, image: &ImageId) {
        self.waiting.lock().retain(|waiting| waiting != image);
    }

    /// None waits any more. Tells how many did.
    pub fn clear(&self) -> usize {
        std::mem::take(&mut *self.waiting.lock()).len()
    }

    /// Whether it waits.
    pub fn has(&self, image: &ImageId) -> bool {
        self.waiting.lock().contains(image)
    }

    /// All of them, the first one first.
    pub fn images(&self) -> Vec<ImageId> {
        self.waiting.lock().iter().cloned().collect()
    }

    /// The first, as soon as there is one; it waits until it is [removed](Queue::remove).
    pub async fn first(&self) -> ImageId {
        loop {
            let first = self.waiting.lock().front().cloned();
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

    #[test]
    fn more_than_are_remembered_are_refused() {
        let queue = Queue::default();
        let mut all = (0..IMAGES_MAX).map(|number| ImageId::new(number.to_string()));
        assert!(all.all(|image| queue.add(&image)));
        assert!(!queue.add(&ImageId::new("another")));
        assert!(queue.add(&ImageId::new("0")));
    }
}
