"""The words of a site's pages in some languages. What the panels on how pictures were sent say is English everywhere, and marked so."""

from __future__ import annotations

from typing import Final

Words = dict[str, str]

ENGLISH: Final = "en"

MONTHS: Final = "months"
"""Twelve names, separated by blanks."""

WORDS: Final[dict[str, Words]] = {
    "en": {
        "months": "January February March April May June July August September October November December",
        "day": "{day} {month} {year}",
        "day_alone": "{day}",
        "day_and_month": "{day} {month}",
        "photo": "photo",
        "photos": "photos",
        "albums": "Albums",
        "plain": "Without JavaScript you see ordinary pictures.",
        "more": "More photos",
        "earlier": "Earlier photos",
        "place": "{number} of {count}",
        "previous": "Previous",
        "next": "Next",
        "full": "Full screen",
        "download": "Download",
        "original": "original",
        "exact": "exact",
        "capture": "Camera and exposure",
        "Camera": "Camera",
        "Lens": "Lens",
        "Exposure": "Exposure",
        "Aperture": "Aperture",
        "ISO": "ISO",
        "Focal length": "Focal length",
    },
    "de": {
        "months": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "day": "{day}. {month} {year}",
        "day_alone": "{day}.",
        "day_and_month": "{day}. {month}",
        "photo": "Foto",
        "photos": "Fotos",
        "albums": "Alben",
        "plain": "Ohne JavaScript sehen Sie gewöhnliche Bilder.",
        "more": "Weitere Fotos",
        "earlier": "Frühere Fotos",
        "place": "{number} von {count}",
        "previous": "Zurück",
        "next": "Weiter",
        "full": "Vollbild",
        "download": "Herunterladen",
        "original": "Original",
        "exact": "exakt",
        "capture": "Kamera und Belichtung",
        "Camera": "Kamera",
        "Lens": "Objektiv",
        "Exposure": "Belichtung",
        "Aperture": "Blende",
        "ISO": "ISO",
        "Focal length": "Brennweite",
    },
    "fr": {
        "months": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "day": "{day} {month} {year}",
        "day_alone": "{day}",
        "day_and_month": "{day} {month}",
        "photo": "photo",
        "photos": "photos",
        "albums": "Albums",
        "plain": "Sans JavaScript, vous voyez des images ordinaires.",
        "more": "Photos suivantes",
        "earlier": "Photos précédentes",
        "place": "{number} sur {count}",
        "previous": "Précédente",
        "next": "Suivante",
        "full": "Plein écran",
        "download": "Télécharger",
        "original": "original",
        "exact": "exact",
        "capture": "Appareil et exposition",
        "Camera": "Appareil",
        "Lens": "Objectif",
        "Exposure": "Exposition",
        "Aperture": "Ouverture",
        "ISO": "ISO",
        "Focal length": "Focale",
    },
}
"""By the first part of a language's tag; each has the same keys."""
