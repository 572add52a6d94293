//! What the heuristics say, in five languages; everything else is answered in English. Plain sentences, no promises.

use super::text::Language;
use crate::money::Currency;

/// Picks the wording of a language, in the order of [`Language::ALL`], and fills `{a}`, `{b}`, `{c}`.
pub fn say(language: Language, wordings: [&str; 5], filled: &[&str]) -> String {
    let n = Language::ALL.iter().position(|l| *l == language).unwrap_or(0);
    let mut text = wordings[n].to_owned();
    for (name, value) in ["{a}", "{b}", "{c}", "{d}"].iter().zip(filled) {
        text = text.replace(name, value);
    }
    text
}

/// An amount as people write it: `$1,200.00`, `1.200,00 $`.
pub fn money(language: Language, minor: i64, currency: &str) -> String {
    let Ok(code) = currency.parse::<Currency>() else { return format!("{minor} {currency}") };
    let scale = code.scale();
    let unit = 10u64.pow(scale);
    let all = minor.unsigned_abs();
    let (group, point) = match language {
        Language::En => (",", "."),
        Language::Fr => (" ", ","),
        _ => (".", ","),
    };
    let digits = (all / unit).to_string();
    let mut whole = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            whole.push_str(group);
        }
        whole.push(digit);
    }
    let number =
        if scale == 0 { whole } else { format!("{whole}{point}{:0width$}", all % unit, width = scale as usize) };
    let sign = match code.as_str() {
        "usd" => "$",
        "eur" => "€",
        "gbp" => "£",
        "jpy" => "¥",
        _ => "",
    };
    match (sign, language) {
        ("", _) => format!("{number} {}", code.as_str().to_uppercase()),
        (_, Language::En) => format!("{sign}{number}"),
        _ => format!("{number} {sign}"),
    }
}

const MONTHS: [[&str; 12]; 5] = [
    [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
    [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
    [
        "enero",
        "febrero",
        "marzo",
        "abril",
        "mayo",
        "junio",
        "julio",
        "agosto",
        "septiembre",
        "octubre",
        "noviembre",
        "diciembre",
    ],
    [
        "janeiro",
        "fevereiro",
        "março",
        "abril",
        "maio",
        "junho",
        "julho",
        "agosto",
        "setembro",
        "outubro",
        "novembro",
        "dezembro",
    ],
];

/// A day as people write it; a text that is no date stays as it is.
pub fn date(language: Language, text: &str) -> String {
    let day: String = text.chars().take(10).collect();
    let Ok(day) = day.parse::<jiff::civil::Date>() else { return text.to_owned() };
    let n = Language::ALL.iter().position(|l| *l == language).unwrap_or(0);
    let month = MONTHS[n][usize::try_from(day.month() - 1).unwrap_or(0)];
    match language {
        Language::En => format!("{month} {}, {}", day.day(), day.year()),
        Language::De => format!("{}. {month} {}", day.day(), day.year()),
        Language::Fr => format!("{} {month} {}", day.day(), day.year()),
        Language::Es | Language::Pt => format!("{} de {month} de {}", day.day(), day.year()),
    }
}

/// The state of an order in words.
pub fn order_status(language: Language, status: &str) -> String {
    let words = match status {
        "pending" => ["pending", "noch nicht bearbeitet", "en attente", "pendiente", "pendente"],
        "processing" => ["processing", "in Bearbeitung", "en préparation", "en preparación", "em preparação"],
        "shipped" => ["shipped", "versandt", "expédiée", "enviado", "enviada"],
        "delivered" => ["delivered", "zugestellt", "livrée", "entregado", "entregue"],
        "cancelled" | "canceled" => ["cancelled", "storniert", "annulée", "cancelado", "cancelada"],
        "returned" => ["returned", "zurückgesandt", "retournée", "devuelto", "devolvida"],
        other => return other.to_owned(),
    };
    say(language, words, &[])
}

/// The first line of an answer.
pub fn greeting(language: Language) -> String {
    say(language, ["Hello,", "Guten Tag,", "Bonjour,", "Hola:", "Olá,"], &[])
}

/// That a colleague takes over.
pub fn holding(language: Language) -> String {
    say(
        language,
        [
            "Thank you for your message. A colleague will look at it and answer you here.",
            "Vielen Dank für Ihre Nachricht. Eine Kollegin oder ein Kollege sieht sich das an und antwortet Ihnen hier.",
            "Merci pour votre message. Un collègue va l'examiner et vous répondra ici.",
            "Gracias por su mensaje. Un compañero lo revisará y le responderá aquí.",
            "Obrigado pela sua mensagem. Um colega vai analisá-la e responder aqui.",
        ],
        &[],
    )
}

/// The state of an order: id, state, day of purchase.
pub fn order(language: Language, id: &str, status: &str, placed: &str) -> String {
    say(
        language,
        [
            "Your order {a}, placed on {c}, is {b}.",
            "Ihre Bestellung {a} vom {c} ist {b}.",
            "Votre commande {a} du {c} est {b}.",
            "Su pedido {a} del {c} está {b}.",
            "A sua encomenda {a} de {c} está {b}.",
        ],
        &[id, &order_status(language, status), &date(language, placed)],
    )
}

/// The tracking number.
pub fn tracking(language: Language, number: &str) -> String {
    say(
        language,
        [
            "The tracking number is {a}.",
            "Die Sendungsnummer lautet {a}.",
            "Le numéro de suivi est {a}.",
            "El número de seguimiento es {a}.",
            "O código de rastreio é {a}.",
        ],
        &[number],
    )
}

/// What an order holds.
pub fn items(language: Language, list: &str) -> String {
    say(
        language,
        ["It holds: {a}.", "Sie enthält: {a}.", "Elle contient : {a}.", "Contiene: {a}.", "Contém: {a}."],
        &[list],
    )
}

/// That a parcel has no tracking number yet.
pub fn no_tracking(language: Language) -> String {
    say(
        language,
        [
            "There is no tracking number yet.",
            "Eine Sendungsnummer gibt es noch nicht.",
            "Il n'y a pas encore de numéro de suivi.",
            "Todavía no hay número de seguimiento.",
            "Ainda não há código de rastreio.",
        ],
        &[],
    )
}

/// A refund that was made.
pub fn refunded(language: Language, amount: &str, what: &str) -> String {
    say(
        language,
        [
            "I have refunded {a} for {b}. It goes back to the payment method you used; banks usually show it within 5 to 10 business days.",
            "Ich habe Ihnen {a} für {b} erstattet. Der Betrag geht auf das benutzte Zahlungsmittel zurück; Banken zeigen ihn meist innerhalb von 5 bis 10 Werktagen.",
            "Je vous ai remboursé {a} pour {b}. Le montant revient sur le moyen de paiement utilisé ; les banques l'affichent en général sous 5 à 10 jours ouvrés.",
            "Le he reembolsado {a} por {b}. El importe vuelve al medio de pago utilizado; los bancos suelen mostrarlo en 5 a 10 días hábiles.",
            "Reembolsei {a} referente a {b}. O valor volta para o meio de pagamento usado; os bancos costumam mostrá-lo em 5 a 10 dias úteis.",
        ],
        &[amount, what],
    )
}

/// A refund that was there before: amount, day, what.
pub fn refunded_before(language: Language, amount: &str, day: &str, what: &str) -> String {
    say(
        language,
        [
            "Our records show a refund of {a} for {c} on {b}. Banks usually show it within 5 to 10 business days after that.",
            "In unseren Unterlagen steht eine Erstattung von {a} für {c} vom {b}. Banken zeigen sie meist innerhalb von 5 bis 10 Werktagen danach.",
            "Nos données montrent un remboursement de {a} pour {c} le {b}. Les banques l'affichent en général sous 5 à 10 jours ouvrés.",
            "Nuestros registros muestran un reembolso de {a} por {c} el {b}. Los bancos suelen mostrarlo en 5 a 10 días hábiles.",
            "Os nossos registos mostram um reembolso de {a} referente a {c} em {b}. Os bancos costumam mostrá-lo em 5 a 10 dias úteis.",
        ],
        &[amount, day, what],
    )
}

/// That no money goes back.
pub fn refund_declined(language: Language) -> String {
    say(
        language,
        [
            "We have looked at your request. Unfortunately we cannot return the money in this case, and nothing was paid back.",
            "Wir haben Ihr Anliegen geprüft. Leider können wir das Geld in diesem Fall nicht zurückgeben; es wurde nichts ausgezahlt.",
            "Nous avons examiné votre demande. Malheureusement, nous ne pouvons pas rendre l'argent dans ce cas ; rien n'a été versé.",
            "Hemos revisado su solicitud. Lamentablemente no podemos devolver el dinero en este caso; no se ha abonado nada.",
            "Analisámos o seu pedido. Infelizmente não podemos devolver o dinheiro neste caso; nada foi pago de volta.",
        ],
        &[],
    )
}

/// That nothing was charged twice, with the payments.
pub fn no_duplicate(language: Language, list: &str) -> String {
    say(
        language,
        [
            "I have compared your payments and found no double charge. These are the ones we have: {a}. They are for different things.",
            "Ich habe Ihre Zahlungen verglichen und keine doppelte Abbuchung gefunden. Das sind sie: {a}. Sie gehören zu verschiedenen Dingen.",
            "J'ai comparé vos paiements et n'ai trouvé aucun double prélèvement. Les voici : {a}. Ils correspondent à des choses différentes.",
            "He comparado sus pagos y no hay ningún cobro doble. Son estos: {a}. Corresponden a cosas distintas.",
            "Comparei os seus pagamentos e não há cobrança em duplicado. São estes: {a}. Correspondem a coisas diferentes.",
        ],
        &[list],
    )
}

/// Asks which order is meant.
pub fn ask_order(language: Language) -> String {
    say(
        language,
        [
            "I could not find the order under your account. Could you send me the order number as it stands in your confirmation?",
            "Ich konnte die Bestellung in Ihrem Konto nicht finden. Schicken Sie mir bitte die Bestellnummer, wie sie in Ihrer Bestätigung steht?",
            "Je n'ai pas trouvé la commande dans votre compte. Pourriez-vous m'envoyer le numéro de commande tel qu'il figure dans votre confirmation ?",
            "No he encontrado el pedido en su cuenta. ¿Podría enviarme el número de pedido tal como aparece en su confirmación?",
            "Não encontrei a encomenda na sua conta. Pode enviar-me o número da encomenda tal como está na confirmação?",
        ],
        &[],
    )
}

/// Asks which payment is meant.
pub fn ask_payment(language: Language) -> String {
    say(
        language,
        [
            "Which payment do you mean? Please send me its order number, or its date and amount.",
            "Welche Zahlung meinen Sie? Bitte schicken Sie mir die Bestellnummer oder Datum und Betrag.",
            "De quel paiement s'agit-il ? Merci de m'envoyer le numéro de commande, ou la date et le montant.",
            "¿A qué pago se refiere? Envíeme por favor el número de pedido, o la fecha y el importe.",
            "A que pagamento se refere? Envie-me por favor o número da encomenda, ou a data e o valor.",
        ],
        &[],
    )
}

/// Asks what is meant at all.
pub fn ask_what(language: Language) -> String {
    say(
        language,
        [
            "Thank you for your message. Could you tell me in a sentence or two what you need?",
            "Vielen Dank für Ihre Nachricht. Sagen Sie mir bitte in ein, zwei Sätzen, worum es geht?",
            "Merci pour votre message. Pourriez-vous me dire en une ou deux phrases ce dont vous avez besoin ?",
            "Gracias por su mensaje. ¿Podría decirme en una o dos frases qué necesita?",
            "Obrigado pela sua mensagem. Pode dizer-me em uma ou duas frases do que precisa?",
        ],
        &[],
    )
}

/// Asks for the day.
pub fn ask_day(language: Language) -> String {
    say(
        language,
        [
            "On which day should the next bill be? Please send me the date.",
            "An welchem Tag soll die nächste Rechnung kommen? Bitte schicken Sie mir das Datum.",
            "Quel jour la prochaine facture doit-elle arriver ? Merci de m'indiquer la date.",
            "¿Qué día debe ser la próxima factura? Envíeme por favor la fecha.",
            "Em que dia deve ser a próxima fatura? Envie-me por favor a data.",
        ],
        &[],
    )
}

/// Asks which subscription is meant.
pub fn ask_subscription(language: Language) -> String {
    say(
        language,
        [
            "You have more than one subscription. Which one do you mean?",
            "Sie haben mehr als ein Abonnement. Welches meinen Sie?",
            "Vous avez plusieurs abonnements. Duquel s'agit-il ?",
            "Tiene más de una suscripción. ¿A cuál se refiere?",
            "Tem mais de uma assinatura. A qual se refere?",
        ],
        &[],
    )
}

/// A subscription after a change of plan.
pub fn plan_changed(language: Language, plan: &str) -> String {
    say(
        language,
        [
            "Your subscription is now on the plan {a}.",
            "Ihr Abonnement läuft jetzt im Tarif {a}.",
            "Votre abonnement est maintenant sur la formule {a}.",
            "Su suscripción está ahora en el plan {a}.",
            "A sua assinatura está agora no plano {a}.",
        ],
        &[plan],
    )
}

/// A subscription after a change of seats.
pub fn seats_changed(language: Language, seats: &str) -> String {
    say(
        language,
        [
            "Your subscription now has {a} seats.",
            "Ihr Abonnement hat jetzt {a} Plätze.",
            "Votre abonnement compte maintenant {a} sièges.",
            "Su suscripción tiene ahora {a} plazas.",
            "A sua assinatura tem agora {a} lugares.",
        ],
        &[seats],
    )
}

/// A paused subscription; with a day, until then.
pub fn paused(language: Language, until: Option<&str>) -> String {
    match until {
        Some(day) => say(
            language,
            [
                "Your subscription is paused until {a}; nothing is charged until then.",
                "Ihr Abonnement ist bis zum {a} pausiert; bis dahin wird nichts abgebucht.",
                "Votre abonnement est en pause jusqu'au {a} ; rien n'est prélevé d'ici là.",
                "Su suscripción está en pausa hasta el {a}; hasta entonces no se cobra nada.",
                "A sua assinatura está em pausa até {a}; até lá nada é cobrado.",
            ],
            &[day],
        ),
        None => say(
            language,
            [
                "Your subscription is paused; nothing is charged until you resume it.",
                "Ihr Abonnement ist pausiert; es wird nichts abgebucht, bis Sie es wieder aufnehmen.",
                "Votre abonnement est en pause ; rien n'est prélevé jusqu'à la reprise.",
                "Su suscripción está en pausa; no se cobra nada hasta que la reanude.",
                "A sua assinatura está em pausa; nada é cobrado até a retomar.",
            ],
            &[],
        ),
    }
}

/// A subscription that goes on.
pub fn resumed(language: Language) -> String {
    say(
        language,
        [
            "Your subscription is running again.",
            "Ihr Abonnement läuft wieder.",
            "Votre abonnement est de nouveau actif.",
            "Su suscripción vuelve a estar activa.",
            "A sua assinatura está novamente ativa.",
        ],
        &[],
    )
}

/// The day of the next bill.
pub fn next_bill(language: Language, day: &str) -> String {
    say(
        language,
        [
            "The next bill is due on {a}.",
            "Die nächste Rechnung ist am {a} fällig.",
            "La prochaine facture est due le {a}.",
            "La próxima factura vence el {a}.",
            "A próxima fatura vence em {a}.",
        ],
        &[day],
    )
}

/// The account's subscription: plan, seats, day, price.
pub fn subscription(language: Language, plan: &str, seats: &str, day: &str, price: &str) -> String {
    say(
        language,
        [
            "You are on the plan {a} with {b} seat(s) at {d}; the current period ends on {c}.",
            "Sie haben den Tarif {a} mit {b} Platz/Plätzen zu {d}; der laufende Zeitraum endet am {c}.",
            "Vous avez la formule {a} avec {b} siège(s) à {d} ; la période en cours se termine le {c}.",
            "Tiene el plan {a} con {b} plaza(s) a {d}; el periodo actual termina el {c}.",
            "Tem o plano {a} com {b} lugar(es) a {d}; o período atual termina em {c}.",
        ],
        &[plan, seats, day, price],
    )
}

/// That a mail will come, or went out.
pub fn mail(language: Language, due: Option<&str>) -> String {
    match due {
        Some(day) => say(
            language,
            [
                "I have scheduled a mail to you for {a}.",
                "Ich habe eine E-Mail an Sie für den {a} eingeplant.",
                "J'ai programmé un e-mail pour vous le {a}.",
                "He programado un correo para usted el {a}.",
                "Agendei um e-mail para si em {a}.",
            ],
            &[day],
        ),
        None => say(
            language,
            [
                "I have sent you a mail.",
                "Ich habe Ihnen eine E-Mail geschickt.",
                "Je vous ai envoyé un e-mail.",
                "Le he enviado un correo.",
                "Enviei-lhe um e-mail.",
            ],
            &[],
        ),
    }
}

/// Subject and body of a reminder.
pub fn reminder(language: Language, about: &str) -> (String, String) {
    let subject =
        say(language, ["Your reminder", "Ihre Erinnerung", "Votre rappel", "Su recordatorio", "O seu lembrete"], &[]);
    let body = say(
        language,
        [
            "Hello,\n\nyou asked us to write to you again about this:\n\n{a}\n\nIf anything is still open, just answer this mail.",
            "Guten Tag,\n\nSie haben uns gebeten, Ihnen hierzu noch einmal zu schreiben:\n\n{a}\n\nWenn noch etwas offen ist, antworten Sie einfach auf diese E-Mail.",
            "Bonjour,\n\nvous nous avez demandé de vous écrire à nouveau à ce sujet :\n\n{a}\n\nS'il reste une question, répondez simplement à cet e-mail.",
            "Hola:\n\nNos pidió que le escribiéramos de nuevo sobre esto:\n\n{a}\n\nSi queda algo pendiente, responda a este correo.",
            "Olá,\n\npediu-nos que lhe escrevêssemos de novo sobre isto:\n\n{a}\n\nSe ainda houver algo em aberto, responda a este e-mail.",
        ],
        &[about],
    );
    (subject, body)
}

/// Leads to an article: title and address.
pub fn article(language: Language, title: &str, url: &str) -> String {
    say(
        language,
        [
            "All details are in our help center, under \"{a}\": {b}",
            "Alle Einzelheiten stehen in unserem Hilfe-Center unter „{a}“: {b}",
            "Tous les détails sont dans notre centre d'aide, sous « {a} » : {b}",
            "Todos los detalles están en nuestro centro de ayuda, en «{a}»: {b}",
            "Todos os detalhes estão no nosso centro de ajuda, em «{a}»: {b}",
        ],
        &[title, url],
    )
}

/// The answer to thanks.
pub fn welcome(language: Language) -> String {
    say(
        language,
        [
            "You are welcome. If anything else comes up, just answer here.",
            "Gern geschehen. Wenn noch etwas ist, antworten Sie einfach hier.",
            "Je vous en prie. Si vous avez une autre question, répondez simplement ici.",
            "De nada. Si surge algo más, responda aquí.",
            "De nada. Se surgir mais alguma coisa, responda aqui.",
        ],
        &[],
    )
}

/// What a refund is for: an order, or a payment of a day.
pub fn of_order(language: Language, order: &str) -> String {
    say(language, ["order {a}", "Bestellung {a}", "la commande {a}", "el pedido {a}", "a encomenda {a}"], &[order])
}

/// The same for a payment without an order.
pub fn of_payment(language: Language, day: &str) -> String {
    say(
        language,
        ["the payment of {a}", "die Zahlung vom {a}", "le paiement du {a}", "el pago del {a}", "o pagamento de {a}"],
        &[day],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_days_are_written_as_people_do() {
        let check = |language: Language, amount: &str, day: &str| {
            assert_eq!(money(language, 123_456, "usd"), amount);
            assert_eq!(date(language, "2026-11-09T10:00:00Z"), day);
        };
        check(Language::En, "$1,234.56", "November 9, 2026");
        check(Language::De, "1.234,56 $", "9. November 2026");
        check(Language::Fr, "1 234,56 $", "9 novembre 2026");
        check(Language::Es, "1.234,56 $", "9 de noviembre de 2026");
        check(Language::Pt, "1.234,56 $", "9 de novembro de 2026");
        assert_eq!(money(Language::En, 38_300, "jpy"), "¥38,300");
        assert_eq!(money(Language::En, 4_900, "gbp"), "£49.00");
        assert_eq!(money(Language::De, 4_900, "chf"), "49,00 CHF");
    }
}
