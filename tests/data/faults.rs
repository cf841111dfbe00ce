//! Faults at every step: afterwards the store is empty, or has exactly the image.

use std::sync::Arc;

use fresnel::{
    base::limits::MIB,
    data::StopReason,
    model::{ByteRange, StoreId},
    store::{
        Store,
        flaky::{Fault, Flaky},
        memory::MemoryStore,
    },
};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};

use super::rig::{Act, Rig, Sender, content, cut, run, word};

/// What goes wrong.
#[derive(Clone, Debug)]
enum Trouble {
    Store(Fault),
    /// The connection breaks after so many pieces.
    Source(prop::sample::Index),
    /// Control says stop after so many pieces, and the sender hangs.
    Stop(prop::sample::Index, StopReason),
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let fault = prop_oneof![
        (0..8usize).prop_map(Fault::Before),
        (0..8usize).prop_map(Fault::After),
    ];
    let reason = prop_oneof![
        Just(StopReason::ClientGone),
        Just(StopReason::Deleted),
        Just(StopReason::Draining),
        Just(StopReason::LeaseLost),
    ];
    prop_oneof![
        fault.prop_map(Trouble::Store),
        any::<prop::sample::Index>().prop_map(Trouble::Source),
        (any::<prop::sample::Index>(), reason).prop_map(|(at, reason)| Trouble::Stop(at, reason)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_half_stored(
        len in 0..3 * MIB,
        pieces in prop::collection::vec(1..MIB, 1..4),
        trouble in trouble(),
    ) {
        run(upload_with(trouble, &content(len), &pieces));
    }
}

async fn upload_with(trouble: Trouble, content: &[u8], pieces: &[usize]) {
    let memory = Arc::new(MemoryStore::new(StoreId::new("memory")));
    let fault = match trouble {
        Trouble::Store(fault) => fault,
        Trouble::Source(_) | Trouble::Stop(..) => Fault::Before(usize::MAX),
    };
    let mut rig = Rig::new(vec![memory.clone()]).await;
    let flaky: Arc<dyn Store> = Arc::new(Flaky::new(memory.clone(), fault));
    let healthy = std::mem::replace(
        &mut rig.plane.stores,
        fresnel::store::Registry::new(vec![flaky], memory.id().clone()),
    );
    let mut acts: Vec<Act> = cut(content, pieces).into_iter().map(Act::Send).collect();
    let expected = match &trouble {
        Trouble::Store(_) => "store",
        Trouble::Source(at) => {
            acts.insert(at.index(acts.len() + 1), Act::Break);
            "client"
        }
        Trouble::Stop(at, reason) => {
            let stop = Act::Stop(rig.steward.stop.clone(), *reason);
            acts.insert(at.index(acts.len() + 1), stop);
            "stopped"
        }
    };
    let ingested = rig.ingest(Sender::new(acts)).await;
    rig.plane.stores = healthy;
    match ingested {
        Ok(receipts) => {
            assert!(
                matches!(trouble, Trouble::Store(_)),
                "an upload survives only what it never met"
            );
            let whole = ByteRange::whole(content.len() as u64);
            assert!(rig.read(&receipts[0], whole).await.unwrap() == content);
        }
        Err(error) => {
            assert_eq!(word(&error), expected);
            rig.discard().await;
            assert!(memory.is_empty());
        }
    }
}

/// An optional store may fail at any step; a required one may not.
#[tokio::test]
async fn only_required_stores_are_required() {
    let content = content(3 * MIB);
    for required in [true, false] {
        for step in 0..6 {
            let (steady, memory) = (memory("steady"), memory("shaky"));
            let shaky = Arc::new(Flaky::new(memory.clone(), Fault::Before(step + 1)));
            let mut rig = Rig::new(vec![steady.clone(), shaky.clone()]).await;
            rig.plan.targets[1].required = required;
            let ingested = rig.ingest(Sender::of(&content, &[])).await;
            let met = shaky.operations() > step + 1;
            match ingested {
                Ok(receipts) => {
                    assert!(!required || !met);
                    assert_eq!(receipts.len(), if met { 1 } else { 2 });
                    let whole = ByteRange::whole(content.len() as u64);
                    assert!(rig.read(&receipts[0], whole).await.unwrap() == content);
                }
                Err(error) => {
                    assert!(required && met, "{error}");
                    rig.discard().await;
                    assert!(steady.is_empty() && memory.is_empty());
                }
            }
        }
    }
}

fn memory(name: &str) -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(StoreId::new(name)))
}
