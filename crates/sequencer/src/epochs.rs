//! The epochs of the chain as the consensus library asks for them, shared by everything that must move when L1 recovers the chain.

use std::sync::Arc;

use commonware_consensus::types::{Epoch, EpochInfo, Epocher, Height};
use oceanid_primitives::Epochs;
use parking_lot::RwLock;

/// The newest [`Epochs`]; clones share it. A recovery changes the epoch only of heights at which nothing is final.
#[derive(Clone, Debug)]
pub(crate) struct SharedEpochs(Arc<RwLock<Arc<Epochs>>>);

impl SharedEpochs {
    pub(crate) fn new(epochs: Arc<Epochs>) -> Self {
        Self(Arc::new(RwLock::new(epochs)))
    }

    pub(crate) fn get(&self) -> Arc<Epochs> {
        self.0.read().clone()
    }

    pub(crate) fn set(&self, epochs: Arc<Epochs>) {
        *self.0.write() = epochs;
    }
}

impl Epocher for SharedEpochs {
    fn containing(&self, height: Height) -> Option<EpochInfo> {
        let epochs = self.get();
        let epoch = epochs.of(height.get());
        let (first, last) = epochs.blocks(epoch)?;
        Some(EpochInfo::new(Epoch::new(epoch), height, Height::new(first), Height::new(last)))
    }

    fn first(&self, epoch: Epoch) -> Option<Height> {
        self.get().blocks(epoch.get()).map(|(first, _)| Height::new(first))
    }

    fn last(&self, epoch: Epoch) -> Option<Height> {
        self.get().blocks(epoch.get()).map(|(_, last)| Height::new(last))
    }
}
