//! How much each address has. An IPv6 client owns a whole /64, so that is one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The bits of an IPv6 address that name a network.
const NETWORK: u128 = !0 << 64;

/// One address while anything is open for it.
#[derive(Debug)]
pub(crate) struct Address {
    pub(super) connections: AtomicUsize,
    pub(super) legs: AtomicUsize,
    network: IpAddr,
    all: Arc<Addresses>,
}

/// All addresses of which something is open.
#[derive(Debug, Default)]
pub(super) struct Addresses(Mutex<HashMap<IpAddr, Weak<Address>>>);

impl Addresses {
    /// The address of a client.
    pub(super) fn get(self: &Arc<Self>, client: IpAddr) -> Arc<Address> {
        let network = network(client);
        let mut known = self.lock();
        if let Some(address) = known.get(&network).and_then(Weak::upgrade) {
            return address;
        }
        let address = Arc::new(Address {
            connections: AtomicUsize::new(0),
            legs: AtomicUsize::new(0),
            network,
            all: Arc::clone(self),
        });
        known.insert(network, Arc::downgrade(&address));
        address
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Weak<Address>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let mut known = self.all.lock();
        // Somebody may have come from there again meanwhile.
        if known
            .get(&self.network)
            .is_some_and(|address| address.strong_count() == 0)
        {
            known.remove(&self.network);
        }
    }
}

fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_a_network_are_one_address_and_nobody_is_kept() {
        let all = Arc::new(Addresses::default());
        let get = |text: &str| all.get(text.parse().expect("an address"));
        let first = get("2001:db8::1");
        assert!(Arc::ptr_eq(&first, &get("2001:db8::ffff:2")));
        assert!(!Arc::ptr_eq(&first, &get("2001:db8:0:1::1")));
        assert!(Arc::ptr_eq(&get("10.0.0.1"), &get("::ffff:10.0.0.1")) || all.lock().len() == 1);
        drop(first);
        assert!(all.lock().is_empty());
    }
}
