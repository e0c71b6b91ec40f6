// The drivers and cards of the seed. All are invented.
// Most names are ordinary; a few are there because some layer is known to spoil them.
'use strict';

const FAMILY = [
  '佐藤', '鈴木', '高橋', '田中', '伊藤', '渡辺', '山本', '中村', '小林', '加藤',
  '吉田', '山田', '佐々木', '山口', '松本', '井上', '木村', '林', '斎藤', '清水',
];
const GIVEN = ['健太', '美咲', '大輔', '陽子', '誠', 'さくら', '一郎', '由美子', '翔', '恵', '隆', '真由美', '剛'];

const PECULIAR_NAMES = new Map([
  [1022, ''],
  [1023, null],
  // The first character lies outside the BMP: four bytes of UTF-8, two units of UTF-16.
  [1024, '𠮷田 叱'],
  [1025, '髙橋 "ケン" 健一'],
  [1026, 'A\\B 運送 / 臨時'],
  [1027, '渡邉\t花子\n'],
  [1028, '🚚 応援 👨‍👩‍👧'],
  [1029, '<b>山田</b> & 太郎'],
  // JSON.stringify leaves U+2028 and DEL raw, but escapes U+0001.
  [1030, '中村\u2028次郎\u0001\u007f'],
  // GA as two code points, which must not be composed on the way.
  [1041, 'か\u3099 ひとみ'],
]);

// Number 1 besides the groups of ten that begin at 1001, 1021, 1041 and so on.
const DRIVERS = [
  { id: 1, name: '本社 管理' },
  ...Array.from({ length: 60 }, (_, index) => {
    const id = 1001 + Math.floor(index / 10) * 20 + (index % 10);
    const ordinary = `${FAMILY[index % FAMILY.length]} ${GIVEN[(index * 7) % GIVEN.length]}`;
    return { id, name: PECULIAR_NAMES.has(id) ? PECULIAR_NAMES.get(id) : ordinary };
  }),
];

// Cards that nobody has registered.
const FOREIGN_CARDS = ['01140A7734F21C09', '012E4CE1B90D6A55', '04A9C27AFF6180'];

// The number that the reader sees on the card of a driver.
function cardOf(id) {
  return `0114B3${(id * 2654435761 % 2 ** 32).toString(16).toUpperCase().padStart(8, '0')}00`;
}

module.exports = { cardOf, DRIVERS, FOREIGN_CARDS };
