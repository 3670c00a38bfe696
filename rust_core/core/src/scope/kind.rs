//! The kinds of scope, their stable numbers and their names.

/// What a scope belongs to. The discriminant is stored (docs/format.md): never renumber, never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ScopeKind {
    /// Shared by everything in the store; no id.
    Global = 1,
    /// One person: user id.
    User = 2,
    /// One conversation: session id.
    Session = 3,
    /// One agent: agent id.
    Agent = 4,
    /// One tool: tool id.
    Tool = 5,
    /// One workflow: workflow id.
    Workflow = 6,
    /// One step of a workflow: workflow id, step name.
    Step = 7,
    /// Anything else: a namespace.
    Custom = 8,
}

impl ScopeKind {
    /// Every kind, in stored order.
    pub const ALL: [Self; 8] =
        [Self::Global, Self::User, Self::Session, Self::Agent, Self::Tool, Self::Workflow, Self::Step, Self::Custom];

    /// The first byte of the encoding.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind that [`Self::number`] gave, or `None` for a number that no kind has.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// How many ids a scope of this kind has: 0, 1 or 2.
    #[must_use]
    pub const fn id_count(self) -> usize {
        match self {
            Self::Global => 0,
            Self::Step => 2,
            _ => 1,
        }
    }

    /// The first word of the text form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::User => "user",
            Self::Session => "session",
            Self::Agent => "agent",
            Self::Tool => "tool",
            Self::Workflow => "workflow",
            Self::Step => "step",
            Self::Custom => "custom",
        }
    }

    /// The kind that [`Self::name`] gave, or `None`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How the text form of this kind looks, for error messages.
    #[must_use]
    pub const fn shape(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::User => "user:USER_ID",
            Self::Session => "session:SESSION_ID",
            Self::Agent => "agent:AGENT_ID",
            Self::Tool => "tool:TOOL_ID",
            Self::Workflow => "workflow:WORKFLOW_ID",
            Self::Step => "step:WORKFLOW_ID:STEP_NAME",
            Self::Custom => "custom:NAMESPACE",
        }
    }
}
