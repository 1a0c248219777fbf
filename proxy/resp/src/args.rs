//! The arguments of one command: borrowed from the connection's buffer, or owned for a queue or a message.

/// Start and end of one argument inside its buffer.
pub type Span = (u32, u32);

/// The arguments of one command, the command's name first. Copying it copies two fat pointers.
#[derive(Clone, Copy, Default)]
pub struct Args<'a> {
    buf: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Arguments at `spans` of `buf`. A span outside of the buffer reads as an empty argument.
    pub fn new(buf: &'a [u8], spans: &'a [Span]) -> Self {
        Self { buf, spans }
    }

    /// Number of arguments, the command's name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True when there is not even a name.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `index`, or `None` behind the last one.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let &(start, end) = self.spans.get(index)?;
        Some(self.buf.get(start as usize..end as usize).unwrap_or_default())
    }

    /// Argument `index`, or an empty slice behind the last one.
    #[inline]
    pub fn at(&self, index: usize) -> &'a [u8] {
        self.get(index).unwrap_or_default()
    }

    /// All arguments in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + use<'a> {
        let buf = self.buf;
        self.spans.iter().map(move |&(start, end)| buf.get(start as usize..end as usize).unwrap_or_default())
    }

    /// The arguments from `range` on; what lies outside is dropped.
    pub fn slice(&self, range: std::ops::RangeFrom<usize>) -> Args<'a> {
        Args { buf: self.buf, spans: self.spans.get(range).unwrap_or_default() }
    }

    /// The first `at` arguments, and the others.
    pub fn split_at(&self, at: usize) -> (Args<'a>, Args<'a>) {
        let (head, tail) = self.spans.split_at(at.min(self.spans.len()));
        (Args { buf: self.buf, spans: head }, Args { buf: self.buf, spans: tail })
    }

    /// Sum of the arguments' lengths in bytes.
    pub fn bytes(&self) -> usize {
        self.spans.iter().map(|&(start, end)| end.saturating_sub(start) as usize).sum()
    }

    /// A copy that owns its bytes.
    pub fn to_owned(&self) -> OwnedArgs {
        let mut owned = OwnedArgs::with_capacity(self.len(), self.bytes());
        for arg in self.iter() {
            owned.push(arg);
        }
        owned
    }
}

impl std::fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

/// The arguments of one command with their bytes: what MULTI queues and what travels to another worker.
#[derive(Clone, Default)]
pub struct OwnedArgs {
    buf: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedArgs {
    /// No arguments yet; room for `count` of them with `bytes` bytes altogether.
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Self { buf: Vec::with_capacity(bytes), spans: Vec::with_capacity(count) }
    }

    /// Appends one argument.
    pub fn push(&mut self, arg: &[u8]) {
        let start = self.buf.len() as u32;
        self.buf.extend_from_slice(arg);
        self.spans.push((start, self.buf.len() as u32));
    }

    /// Forgets the arguments, keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.spans.clear();
    }

    /// A borrowed view.
    pub fn as_args(&self) -> Args<'_> {
        Args { buf: &self.buf, spans: &self.spans }
    }

    /// Bytes held, for limits.
    pub fn bytes(&self) -> usize {
        self.buf.len() + self.spans.len() * size_of::<Span>()
    }
}

impl std::fmt::Debug for OwnedArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_args().fmt(f)
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for OwnedArgs {
    fn from_iter<I: IntoIterator<Item = T>>(args: I) -> Self {
        let mut owned = Self::default();
        for arg in args {
            owned.push(arg.as_ref());
        }
        owned
    }
}
