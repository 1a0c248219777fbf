//! Which nodes hold which shard: spread over zones first, evenly over nodes second, and moving little when nodes come and go.
//!
//! Every shard ranks all nodes by a hash of both names (rendezvous hashing), so a shard's favourites don't depend on who
//! else is there. Bounds on how much one node may get keep the load even; a shard whose favourite is full takes the next.

/// A node that can hold shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name.
    pub id: &'a str,
    /// Its zone.
    pub zone: &'a str,
}

/// For each shard the nodes that should hold it, the preferred primary first, then `replicas` others as far as there are
/// nodes. No zone holds two copies while another zone with a node has none. The order of `members` doesn't matter.
pub fn place<'a>(members: &[Member<'a>], shards: u32, replicas: u32) -> Vec<Vec<&'a str>> {
    let mut members = members.to_vec();
    members.sort_unstable_by_key(|member| member.id);
    members.dedup_by_key(|member| member.id);
    let copies = members.len().min(replicas as usize + 1);
    let most_primaries = (shards as usize).div_ceil(members.len().max(1));
    let most_copies = (shards as usize * copies).div_ceil(members.len().max(1));
    let (mut primaries, mut held) = (vec![0; members.len()], vec![0; members.len()]);
    let mut placed = Vec::with_capacity(shards as usize);
    for shard in 0..shards {
        let mut ranked: Vec<usize> = (0..members.len()).collect();
        ranked.sort_by_key(|at| std::cmp::Reverse(score(members[*at].id, shard)));
        let mut chosen: Vec<usize> = Vec::with_capacity(copies);
        while chosen.len() < copies {
            let in_zone =
                |at: usize| chosen.iter().filter(|other| members[**other].zone == members[at].zone).count();
            let free = ranked.iter().copied().filter(|at| !chosen.contains(at));
            let best = free.min_by_key(|at| {
                let full = if chosen.is_empty() {
                    primaries[*at] >= most_primaries
                } else {
                    held[*at] >= most_copies
                };
                // `min_by_key` keeps the first of equals: the favourite.
                (in_zone(*at), full)
            });
            let Some(best) = best else { break };
            if chosen.is_empty() {
                primaries[best] += 1;
            }
            held[best] += 1;
            chosen.push(best);
        }
        placed.push(chosen.into_iter().map(|at| members[at].id).collect());
    }
    placed
}

/// How much a shard wants to be on a node: FNV-1a over both, finished as in splitmix64 so that near numbers part.
fn score(id: &str, shard: u32) -> u64 {
    let bytes = id.bytes().chain(shard.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn members(names: &[(String, String)]) -> Vec<Member<'_>> {
        names.iter().map(|(id, zone)| Member { id, zone }).collect()
    }

    fn names(nodes: usize, zones: usize) -> Vec<(String, String)> {
        (0..nodes).map(|n| (format!("node-{n:02}"), format!("z{}", n % zones))).collect()
    }

    /// Every combination of a few sizes: copies are distinct, zones differ while they can, nobody is overloaded.
    #[test]
    fn copies_are_spread_over_zones_and_nodes() {
        for nodes in 1..8 {
            for zones in 1..=3 {
                for replicas in 0..4 {
                    for shards in [1_u32, 2, 7, 64] {
                        let names = names(nodes, zones);
                        let placed = place(&members(&names), shards, replicas);
                        check(&names, &placed, shards, replicas);
                    }
                }
            }
        }
    }

    fn check(names: &[(String, String)], placed: &[Vec<&str>], shards: u32, replicas: u32) {
        assert_eq!(placed.len(), shards as usize);
        let zone_of: BTreeMap<&str, &str> =
            names.iter().map(|(id, zone)| (id.as_str(), zone.as_str())).collect();
        let zones: BTreeSet<&str> = zone_of.values().copied().collect();
        let copies = names.len().min(replicas as usize + 1);
        let mut primaries: BTreeMap<&str, u32> = BTreeMap::new();
        for chosen in placed {
            assert_eq!(chosen.len(), copies);
            assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), copies);
            let used: BTreeSet<&str> = chosen.iter().map(|id| zone_of[id]).collect();
            assert_eq!(used.len(), zones.len().min(copies), "{chosen:?} of {names:?}");
            *primaries.entry(chosen[0]).or_default() += 1;
        }
        let most = primaries.values().max().copied().unwrap_or(0);
        assert!(most <= shards.div_ceil(names.len() as u32), "{primaries:?}");
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        let names = names(5, 3);
        let forward = members(&names);
        let backward: Vec<_> = forward.iter().rev().copied().collect();
        assert_eq!(place(&forward, 16, 2), place(&backward, 16, 2));
    }

    #[test]
    fn a_lost_node_moves_little() {
        let names = names(6, 3);
        let all = members(&names);
        let before = place(&all, 60, 2);
        let after = place(&all[1..], 60, 2);
        let moved = before.iter().zip(&after).filter(|(b, a)| b[0] != all[0].id && b[0] != a[0]).count();
        assert!(moved <= 15, "{moved} of 60 primaries moved that need not");
    }

    #[test]
    fn nobody_holds_nothing() {
        assert_eq!(place(&[], 3, 2), vec![Vec::<&str>::new(); 3]);
    }
}
