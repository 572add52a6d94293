//! Words about money: refunds, double charges, which payment and how much of it.

use super::super::figures;
use super::super::text::any;

/// Money is wanted back.
pub fn refund(words: &[String]) -> bool {
    const PATTERNS: &[&str] = &[
        "refund*",
        "money back",
        "reimburse*",
        "put it back on",
        "returned to my card",
        "return everything",
        "process a return",
        "payment* back",
        "charge* back please",
        "purchase price returned",
        "erstatt*",
        "ruckerstatt*",
        "geld zuruck",
        "zuruckerstatt*",
        "gutschreiben",
        "betrag zuruck",
        "zuruckgeben",
        "rembours*",
        "rendre .. argent",
        "reembols*",
        "devolucion",
        "devolver",
        "devolvernos",
        "devuelv*",
        "devuelvan",
        "estorn*",
        "ressarc*",
        "dinheiro de volta",
        "devolvam",
        "restitu*",
    ];
    any(words, PATTERNS)
}

/// Money is wanted back, said by an amount and `back` alone.
pub fn money_back(words: &[String], text: &str) -> bool {
    const BACK: &[&str] = &["back", "zuruck", "de volta", "de vuelta"];
    refund(words) || (any(words, BACK) && !figures::amounts(text).is_empty())
}

/// Where a refund is, that was promised or made.
pub fn refund_status(words: &[String]) -> bool {
    const PATTERNS: &[&str] = &[
        "where is my refund",
        "where s my refund",
        "refund status",
        "status of .. refund",
        "when will .. refund",
        "refund .. arrive",
        "refund still",
        "never got my money",
        "still waiting for .. refund",
        "refund .. not arrived",
        "have not received .. refund",
        "haven t received .. refund",
        "wo bleibt .. erstattung",
        "wo ist .. erstattung",
        "wann kommt .. erstattung",
        "ou en est .. remboursement",
        "toujours pas .. rembours*",
        "pas recu .. remboursement",
        "donde esta .. reembolso",
        "cuando .. llega* .. reembolso",
        "no he recibido .. reembolso",
        "onde esta .. reembolso",
        "nao recebi .. reembolso",
        "quando .. chega .. reembolso",
    ];
    any(words, PATTERNS)
}

/// The same was charged twice.
pub fn duplicate(words: &[String]) -> bool {
    const PATTERNS: &[&str] = &[
        "charged twice",
        "charged .. twice",
        "double charge*",
        "double charged",
        "charge .. double",
        "billed twice",
        "billed .. twice",
        "duplicate charge*",
        "duplicate payment*",
        "paid twice",
        "two identical charges",
        "twice for the same",
        "charged two times",
        "charged double",
        "doppelt abgebucht",
        "doppelte abbuchung*",
        "zweimal .. abgebucht",
        "doppelt berechnet",
        "zweimal berechnet",
        "doppelt bezahlt",
        "doppelte belastung",
        "zweimal belastet",
        "doppelt belastet",
        "deux fois",
        "double prelevement",
        "prelevement en double",
        "facture en double",
        "debite en double",
        "double paiement",
        "dos veces",
        "cobro duplicado",
        "doble cobro",
        "cargo duplicado",
        "pago duplicado",
        "cobro doble",
        "duas vezes",
        "cobranca duplicada",
        "cobranca em duplicado",
        "cobrado em dobro",
        "pagamento duplicado",
        "cobranca em dobro",
    ];
    any(words, PATTERNS)
}

/// The whole of an order or of all payments is meant.
pub fn whole(words: &[String]) -> bool {
    const PATTERNS: &[&str] = &[
        "whole order",
        "entire order",
        "full refund",
        "both",
        "everything",
        "all of it",
        "in full",
        "full amount",
        "ganze bestellung",
        "gesamte",
        "beide",
        "alles",
        "toute la commande",
        "integral*",
        "les deux",
        "todo el pedido",
        "completo",
        "ambos",
        "ambas",
        "pedido todo",
        "tudo",
        "total",
    ];
    any(words, PATTERNS)
}

/// The latest order or payment is meant.
pub fn latest(words: &[String]) -> bool {
    const PATTERNS: &[&str] = &[
        "last order",
        "latest order",
        "my order",
        "our order",
        "last payment",
        "latest payment",
        "last charge",
        "recent order",
        "letzte bestellung",
        "meine bestellung",
        "unsere bestellung",
        "letzte zahlung",
        "derniere commande",
        "ma commande",
        "notre commande",
        "dernier paiement",
        "ultimo pedido",
        "mi pedido",
        "nuestro pedido",
        "ultimo pago",
        "ultima encomenda",
        "minha encomenda",
        "meu pedido",
        "ultimo pagamento",
    ];
    any(words, PATTERNS)
}

/// A payment of the subscription is meant.
pub fn renewal(words: &[String]) -> bool {
    const PATTERNS: &[&str] = &[
        "renewal",
        "renewed",
        "subscription",
        "plan",
        "monthly",
        "yearly",
        "annual",
        "abo",
        "abonnement",
        "verlangerung",
        "jahresabo",
        "renouvellement",
        "mensuel*",
        "annuel*",
        "suscripcion",
        "renovacion",
        "mensual",
        "anual",
        "assinatura",
        "renovacao",
        "mensalidade",
        "anuidade",
    ];
    any(words, PATTERNS)
}
