//! Elements of one value gathered in one buffer, between the value codec, which yields them one by one, and the
//! writers of effects and images, which take many at once.

use proxy_store::types::{Elem, IntBuf, image};

use crate::body::ValueSink;

/// Which kind of value the elements belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    String,
    List,
    Hash,
    Set,
    ZSet,
    /// One string: the image.
    Stream,
}

/// Gathered elements: strings laid end to end, with where each ends.
#[derive(Default)]
pub struct Elements {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    scores: Vec<f64>,
}

impl Elements {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.scores.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes and strings held.
    pub fn size(&self) -> (usize, usize) {
        (self.bytes.len(), self.ends.len())
    }

    pub fn push(&mut self, elem: Elem<'_>) {
        match elem {
            Elem::Bytes(bytes) => self.bytes.extend_from_slice(bytes),
            Elem::Int(value) => self.bytes.extend_from_slice(IntBuf::new().format(value)),
        }
        self.ends.push(self.bytes.len());
    }

    pub fn push_score(&mut self, score: f64) {
        self.scores.push(score);
    }

    pub fn strings(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let string = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            string
        })
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut strings = self.strings();
        std::iter::from_fn(move || Some((strings.next()?, strings.next()?)))
    }

    pub fn scored(&self) -> impl Iterator<Item = (&[u8], f64)> {
        self.strings().zip(self.scores.iter().copied())
    }
}

/// A sink that gathers a whole value.
#[derive(Default)]
pub struct Whole {
    elements: Elements,
    shape: Option<Shape>,
}

impl Whole {
    /// The value as the store's image; `None` when there was no value.
    pub fn image(&self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(self.elements.size().0 + 16);
        match self.shape? {
            Shape::String => image::string(&mut out, self.elements.strings().next()?),
            Shape::List => {
                let mut list = image::list(&mut out);
                self.elements.strings().for_each(|item| list.item(item));
            }
            Shape::Hash => {
                let mut hash = image::hash(&mut out);
                self.elements.pairs().for_each(|(field, value)| hash.item(field, value));
            }
            Shape::Set => {
                let mut set = image::set(&mut out);
                self.elements.strings().for_each(|member| set.item(member));
            }
            Shape::ZSet => {
                let mut zset = image::zset(&mut out);
                self.elements.scored().for_each(|(member, score)| zset.item(member, score));
            }
            Shape::Stream => out.extend_from_slice(self.elements.strings().next()?),
        }
        Some(out)
    }
}

impl ValueSink for Whole {
    fn string(&mut self, value: &[u8]) {
        self.shape = Some(Shape::String);
        self.elements.push(Elem::Bytes(value));
    }

    fn list_item(&mut self, item: Elem<'_>) {
        self.shape = Some(Shape::List);
        self.elements.push(item);
    }

    fn hash_field(&mut self, field: Elem<'_>, value: Elem<'_>) {
        self.shape = Some(Shape::Hash);
        self.elements.push(field);
        self.elements.push(value);
    }

    fn set_member(&mut self, member: Elem<'_>) {
        self.shape = Some(Shape::Set);
        self.elements.push(member);
    }

    fn zset_member(&mut self, member: Elem<'_>, score: f64) {
        self.shape = Some(Shape::ZSet);
        self.elements.push(member);
        self.elements.push_score(score);
    }

    fn stream(&mut self, image: &[u8]) {
        self.shape = Some(Shape::Stream);
        self.elements.push(Elem::Bytes(image));
    }
}
