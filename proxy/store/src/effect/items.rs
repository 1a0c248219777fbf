//! The repeated parts of effects as iterators over borrowed bytes. `decode` walks each once, checking; so the
//! iterators can promise to yield exactly `len` items.

use super::wire::Reader;
use crate::types::StreamId;

macro_rules! sequence {
    ($(#[$doc:meta])* $name:ident, $item:ty, $read:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name<'a> {
            count: u32,
            body: &'a [u8],
        }

        impl<'a> $name<'a> {
            /// Checks that `count` items follow in `reader` and takes them.
            #[inline]
            pub(crate) fn read(reader: &mut Reader<'a>, count: u32) -> Option<Self> {
                let all = reader.rest();
                let mut state = 0;
                for _ in 0..count {
                    Self::next_item(reader, &mut state)?;
                }
                let used = all.len() - reader.rest().len();
                Some(Self { count, body: all.get(..used)? })
            }

            #[inline]
            fn next_item(reader: &mut Reader<'a>, state: &mut u64) -> Option<$item> {
                let read: fn(&mut Reader<'a>, &mut u64) -> Option<$item> = $read;
                read(reader, state)
            }

            /// Number of items.
            pub fn len(&self) -> usize {
                self.count as usize
            }

            pub fn is_empty(&self) -> bool {
                self.count == 0
            }

            #[inline]
            pub fn iter(&self) -> impl Iterator<Item = $item> + Clone + use<'a> {
                let mut reader = Reader::new(self.body);
                let mut state = 0;
                std::iter::from_fn(move || {
                    if reader.is_empty() { None } else { Self::next_item(&mut reader, &mut state) }
                })
            }
        }

        impl PartialEq for $name<'_> {
            fn eq(&self, other: &Self) -> bool {
                self.count == other.count && self.body == other.body
            }
        }
    };
}

sequence!(
    /// Byte strings.
    Items, &'a [u8], |reader, _| reader.bytes()
);
sequence!(
    /// Fields with values.
    Pairs, (&'a [u8], &'a [u8]), |reader, _| Some((reader.bytes()?, reader.bytes()?))
);
sequence!(
    /// Members with scores, none of which is NaN.
    ScoredItems, (&'a [u8], f64), |reader, _| {
        let member = reader.bytes()?;
        let score = f64::from_le_bytes(reader.array()?);
        (!score.is_nan()).then_some((member, score))
    }
);
sequence!(
    /// Ids of a stream's entries.
    Ids, StreamId, |reader, _| StreamId::read(reader)
);
sequence!(
    /// Ids of pending entries with the number of their deliveries.
    PendingItems, (StreamId, u64), |reader, _| Some((StreamId::read(reader)?, reader.varint()?))
);
sequence!(
    /// Strictly ascending indexes, stored as distances: the first + 1, then each to the one before.
    Indexes, u64, |reader, next| {
        let distance = reader.varint()?;
        if distance == 0 {
            return None;
        }
        // `next` holds the previous index + 1, so the new one + 1 is one addition away.
        *next = next.checked_add(distance)?;
        Some(*next - 1)
    }
);
