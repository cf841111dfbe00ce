use std::time::Duration;

use super::*;
use crate::{base::limits::MIB, buf::Plain};

const AT_ONCE: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_buffer_fills_to_a_mebibyte_and_shares_what_was_filled() {
    let admission = admit(&pool(8, 1), 0).await;
    let mut buffer = admission.buffer().await;
    assert_eq!(buffer.fill(b"some"), 4);
    buffer.spare_mut()[..5].copy_from_slice(b" more");
    buffer.advance(5);
    assert_eq!(&buffer[..], b"some more");
    assert_eq!(buffer.fill(&[7; 2 * MIB]), MIB - 9);
    assert!(buffer.is_full());
    let chunk = buffer.freeze::<Plain>();
    assert_eq!((chunk.len(), chunk.bytes()[MIB - 1]), (MIB, 7));
    assert_eq!(chunk.bytes().as_ptr() as usize % 4096, 0);
}

#[tokio::test]
async fn a_transfer_has_two_buffers_and_borrows_the_rest() {
    let pool = pool(8, 1);
    let (one, two) = (admit(&pool, 0).await, admit(&pool, 0).await);
    let held = all(&one);
    assert_eq!(held.len(), 6, "all but what is reserved for the other");
    let other = all(&two);
    assert_eq!(other.len(), 2);
}

#[tokio::test]
async fn who_must_gather_more_is_admitted_with_more() {
    let pool = pool(8, 1);
    let large = pool.admit_gathering(&store(0), 5 * MIB, AT_ONCE).await;
    let large = large.unwrap();
    let other = admit(&pool, 0).await;
    assert_eq!(all(&large).len(), 6);
    assert!(pool.admit(&store(0), AT_ONCE).await.is_err());
    drop((large, other));
    let greedy = pool.admit_gathering(&store(0), 100 * MIB, AT_ONCE).await;
    assert_eq!(all(&greedy.unwrap()).len(), 8);
}

#[tokio::test]
async fn what_was_borrowed_is_given_back_first() {
    let pool = pool(8, 1);
    let one = admit(&pool, 0).await;
    let mut held = all(&one);
    assert_eq!(held.len(), 8);
    held.truncate(6);
    admit(&pool, 0).await;
}

#[tokio::test]
async fn admission_ends_with_the_last_chunk() {
    let pool = pool(4, 1);
    let first = admit(&pool, 0).await;
    let second = admit(&pool, 0).await;
    assert!(pool.admit(&store(0), AT_ONCE).await.is_err());
    let chunk = second.buffer().await.freeze::<Plain>();
    drop((first, second));
    let _third = admit(&pool, 0).await;
    assert!(pool.admit(&store(0), AT_ONCE).await.is_err());
    drop(chunk);
    admit(&pool, 0).await;
}

#[tokio::test]
async fn a_store_that_keeps_its_buffers_starves_no_other() {
    let pool = pool(16, 2);
    let stuck = admit(&pool, 0).await;
    let held = all(&stuck);
    assert_eq!(held.len(), 8, "its share and no more");
    assert!(pool.admit(&store(0), AT_ONCE).await.is_err());
    let well = admit(&pool, 1).await;
    assert_eq!(all(&well).len(), 8);
}

#[tokio::test]
async fn a_share_is_never_too_small_for_two_transfers() {
    let pool = pool(1, 3);
    let _both = (admit(&pool, 2).await, admit(&pool, 2).await);
}

#[tokio::test]
async fn admission_is_in_order_of_arrival() {
    let pool = pool(4, 1);
    let running = (admit(&pool, 0).await, admit(&pool, 0).await);
    let (store_0, order) = (store(0), Mutex::new(Vec::new()));
    let wait = async |number| {
        let admission = pool.admit(&store_0, LONG).await.unwrap();
        order.lock().push(number);
        drop(admission);
    };
    let start = async { drop(running) };
    tokio::join!(biased; wait(1), wait(2), wait(3), start);
    assert_eq!(*order.lock(), [1, 2, 3]);
}

#[tokio::test]
async fn nobody_borrows_past_a_transfer_that_waits() {
    let pool = pool(5, 1);
    let one = admit(&pool, 0).await;
    let two = admit(&pool, 0).await;
    let store_0 = store(0);
    let mut third = Box::pin(pool.admit(&store_0, LONG));
    assert!(futures_util::poll!(&mut third).is_pending());
    let own = all(&one);
    assert_eq!(own.len(), 2, "the fifth is kept for who waits");
    drop(two);
    third.await.unwrap();
}

#[tokio::test]
async fn who_waits_for_a_buffer_gets_its_own_or_a_free_one() {
    let pool = pool(4, 1);
    let (one, two) = (admit(&pool, 0).await, admit(&pool, 0).await);
    let mut own = all(&one);
    let mut waiting = Box::pin(one.buffer());
    assert!(futures_util::poll!(&mut waiting).is_pending());
    own.pop();
    let _own = waiting.await;
    let mut waiting = Box::pin(one.buffer());
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(two);
    waiting.await;
}

/// A wait that is given up takes nothing along, also when its buffer had come already.
#[tokio::test]
async fn a_wait_that_is_given_up_takes_nothing_along() {
    let pool = pool(4, 1);
    let (one, two) = (admit(&pool, 0).await, admit(&pool, 0).await);
    let own = all(&one);
    let mut waiting = Box::pin(one.buffer());
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop((two, own));
    drop(waiting);
    assert_eq!(all(&one).len(), 4);
}

#[tokio::test]
async fn idle_memory_goes_back_to_the_system() {
    let pool = pool(32, 1);
    let admission = admit(&pool, 0).await;
    let held = all(&admission);
    drop(held);
    assert_eq!(idle_blocks(&pool), 32, "kept while a transfer runs");
    drop(admission);
    assert_eq!(idle_blocks(&pool), IDLE_BLOCKS_MAX);
}

/// Transfers of every kind at once, on threads, in a share that is far too small for them: all of
/// them end, and everything is free again. The stores hold chunks for a while and give them back
/// out of order; some transfers are cut off anywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_transfers_always_make_progress() {
    let pool = pool(6, 1);
    let transfers: Vec<_> = (0..200u64)
        .map(|seed| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let run = transfer(&pool, seed);
                match seed % 5 {
                    0 => drop(tokio::time::timeout(Duration::from_millis(seed / 5), run).await),
                    _ => run.await,
                }
            })
        })
        .collect();
    for transfer in transfers {
        tokio::time::timeout(Duration::from_secs(60), transfer)
            .await
            .expect("a transfer is stuck")
            .unwrap();
    }
    let admission = admit(&pool, 0).await;
    assert_eq!(all(&admission).len(), 6);
}

/// Keeps up to four chunks in flight, as a writer does, and takes the next buffer in between.
async fn transfer(pool: &Pool, seed: u64) {
    let admission = pool.admit(&store(0), LONG).await.unwrap();
    let mut random = seed;
    let mut flight = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut buffer = admission.buffer().await;
        buffer.fill(&[1]);
        let chunk = buffer.freeze::<Plain>();
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
        let naps = random >> 60;
        flight.spawn(async move {
            for _ in 0..naps {
                tokio::task::yield_now().await;
            }
            drop(chunk);
        });
        if flight.len() >= 4 {
            flight.join_next().await;
        }
    }
    while flight.join_next().await.is_some() {}
}

fn pool(chunks: usize, stores: usize) -> Pool {
    let stores: Vec<StoreId> = (0..stores).map(store).collect();
    Pool::new(chunks * CHUNK_BYTES, &stores)
}

fn store(number: usize) -> StoreId {
    StoreId::new(&format!("store{number}"))
}

async fn admit(pool: &Pool, number: usize) -> Admission {
    pool.admit(&store(number), AT_ONCE)
        .await
        .expect("there is room")
}

/// Every buffer that the transfer can get now.
fn all(admission: &Admission) -> Vec<Buffer> {
    std::iter::from_fn(|| admission.try_buffer()).collect()
}

fn idle_blocks(pool: &Pool) -> usize {
    pool.shares[&store(0)].shelf.state.lock().idle.len()
}
