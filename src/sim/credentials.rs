//! What the simulators accept as credentials: fixed, worthless outside, and the same in every world.

/// OAuth client of the helpdesk (`client_credentials`); its tokens act as the bot's own admin user.
pub const ZENDESK_CLIENT_ID: &str = "deskhand";
/// The secret of [`ZENDESK_CLIENT_ID`].
pub const ZENDESK_CLIENT_SECRET: &str = "simulated-zendesk-client-secret";
/// API token of the helpdesk (legacy Basic authentication, `{address of any agent}/token:{this}`).
pub const ZENDESK_API_TOKEN: &str = "simulated-zendesk-api-token";
/// Restricted test key of Stripe.
pub const STRIPE_KEY: &str = "rk_test_simulated";
/// Bearer token of the billing API.
pub const BILLING_TOKEN: &str = "simulated-billing-token";
/// Key of the Messages API.
pub const CLAUDE_KEY: &str = "sk-ant-simulated";
