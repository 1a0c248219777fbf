//! Who keeps the log: the roster, one value of the metadata log. Replicas lead their groups' members to it, clients learn addresses
//! from it.
//!
//! ```text
//! next 5
//! 1 az-a host-1:7001
//! 3 az-c host-3:7001
//! 4 az-b host-4:7001
//! ```
//! A number belongs to one process and disk at a time and is never given again, so a replica that was replaced is nobody's namesake.

/// Metadata key of the roster.
pub const ROSTER: &str = "log/roster";
/// Fewest and most members.
const MEMBERS: std::ops::RangeInclusive<usize> = 3..=9;
const MAX_TEXT_BYTES: usize = 255;

/// One process of the log service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterMember {
    /// Its number.
    pub number: u16,
    /// Its availability zone; no two members are in one.
    pub zone: String,
    /// `host:port` under which clients and other replicas reach it.
    pub address: String,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// The members, in the order of their numbers.
    pub members: Vec<RosterMember>,
    next: u16,
}

impl Roster {
    /// The members that a cluster is founded with: numbers follow from the zones' names, so that all processes agree on them.
    pub fn founding<'a>(zones: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut zones: Vec<_> = zones.into_iter().collect();
        zones.sort_unstable();
        let member = |(number, (zone, address)): (u16, (&str, &str))| RosterMember {
            number,
            zone: zone.to_owned(),
            address: address.to_owned(),
        };
        let members: Vec<RosterMember> = (1..).zip(zones).map(member).collect();
        let next = members.len() as u16 + 1;
        Self { members, next }
    }

    /// The member in a zone.
    pub fn in_zone(&self, zone: &str) -> Option<&RosterMember> {
        self.members.iter().find(|member| member.zone == zone)
    }

    /// The member with a number.
    pub fn member(&self, number: u16) -> Option<&RosterMember> {
        self.members.iter().find(|member| member.number == number)
    }

    /// With one more member in another zone.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn with(&self, zone: &str, address: &str) -> Result<Self, String> {
        let mut changed = self.clone();
        changed.take_in(zone, address)?;
        changed.checked()
    }

    /// Without the member in a zone.
    ///
    /// # Errors
    /// When there is none, or too few would be left.
    pub fn without(&self, zone: &str) -> Result<Self, String> {
        let mut changed = self.clone();
        changed.let_go(zone)?;
        changed.checked()
    }

    /// With another process in the place of a member's, in the same zone or in `new_zone`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn replacing(&self, zone: &str, new_zone: &str, address: &str) -> Result<Self, String> {
        let mut changed = self.clone();
        changed.let_go(zone)?;
        changed.take_in(new_zone, address)?;
        changed.checked()
    }

    fn let_go(&mut self, zone: &str) -> Result<(), String> {
        let before = self.members.len();
        self.members.retain(|member| member.zone != zone);
        if self.members.len() == before { Err(format!("no log replica is in {zone}")) } else { Ok(()) }
    }

    fn take_in(&mut self, zone: &str, address: &str) -> Result<(), String> {
        for (what, text) in [("zone", zone), ("address", address)] {
            let whole = !text.is_empty() && text.len() <= MAX_TEXT_BYTES;
            if !whole || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(format!("`{text}` is no {what}"));
            }
        }
        if address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).is_none() {
            return Err(format!("`{address}` is not host:port"));
        }
        if self.in_zone(zone).is_some() {
            return Err(format!("a log replica is in {zone} already"));
        }
        if self.members.iter().any(|member| member.address == address) {
            return Err(format!("a log replica listens on {address} already"));
        }
        let number = self.next;
        self.next = number.checked_add(1).ok_or("all numbers of log replicas were given")?;
        self.members.push(RosterMember { number, zone: zone.to_owned(), address: address.to_owned() });
        Ok(())
    }

    fn checked(self) -> Result<Self, String> {
        match self.members.len() {
            count if MEMBERS.contains(&count) => Ok(self),
            count => Err(format!(
                "the log has from {} to {} replicas, not {count}",
                MEMBERS.start(),
                MEMBERS.end()
            )),
        }
    }

    /// Its bytes in the metadata.
    pub fn encode(&self) -> String {
        let member =
            |member: &RosterMember| format!("{} {} {}\n", member.number, member.zone, member.address);
        let members: String = self.members.iter().map(member).collect();
        format!("next {}\n{members}", self.next)
    }

    /// Reads them; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        let next = lines.next()?.strip_prefix("next ")?.parse().ok()?;
        let member = |line: &str| {
            let mut words = line.split(' ');
            let member = RosterMember {
                number: words.next()?.parse().ok().filter(|number| *number > 0)?,
                zone: words.next()?.to_owned(),
                address: words.next()?.to_owned(),
            };
            words.next().is_none().then_some(member)
        };
        let members: Vec<RosterMember> = lines.map(member).collect::<Option<_>>()?;
        (!members.is_empty()).then_some(Self { members, next })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn changes_keep_numbers_and_give_new_ones_once() {
        let roster = Roster::founding([("c", "h3:1"), ("a", "h1:1"), ("b", "h2:1")]);
        let number = |roster: &Roster, zone| roster.in_zone(zone).map(|member| member.number);
        assert_eq!(
            [number(&roster, "a"), number(&roster, "b"), number(&roster, "c")],
            [Some(1), Some(2), Some(3)]
        );
        let replaced = roster.replacing("b", "b", "h4:1").unwrap();
        assert_eq!([number(&replaced, "a"), number(&replaced, "b")], [Some(1), Some(4)]);
        let grown = replaced.with("d", "h5:1").unwrap();
        let shrunk = grown.without("d").unwrap();
        assert_eq!(number(&shrunk.with("d", "h5:1").unwrap(), "d"), Some(6));
        assert_eq!(Roster::decode(shrunk.encode().as_bytes()), Some(shrunk.clone()));
        assert!(shrunk.without("a").is_err() && shrunk.without("x").is_err());
        for (zone, address) in [("a", "h9:1"), ("x", "h1:1"), ("x y", "h9:1"), ("x", "h9"), ("", "h9:1")] {
            assert!(shrunk.with(zone, address).is_err(), "{zone} {address}");
        }
        for damaged in
            ["", "next x\n", "next 2\n", "next 2\n0 a h:1\n", "next 2\n1 a\n", "next 2\n1 a h:1 x\n"]
        {
            assert_eq!(Roster::decode(damaged.as_bytes()), None, "{damaged:?}");
        }
    }
}
