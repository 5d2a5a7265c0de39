"""Everyday sentences in languages that the recogniser does not know, by espeak-ng voice.

German, French, Spanish, Mandarin and Cantonese are left out: the rejection of unknown languages is measured on them.
"""

# fmt: off
_SENTENCES = {
    "train": {
        "it": """
Domani mattina devo alzarmi presto per prendere il treno.
Mia sorella abita in una piccola casa vicino al mare.
Quanto costa il biglietto per il museo di storia naturale?
Ieri sera abbiamo mangiato una pizza buonissima in centro.
Non riesco a trovare le chiavi della macchina da nessuna parte.
Il professore ha spiegato la lezione con molta pazienza.
Se piove rimaniamo in casa a guardare un film.
Mi dispiace, ma oggi il negozio chiude prima del solito.
I bambini giocano a pallone nel cortile della scuola.
Che cosa vorresti fare durante le vacanze estive?
Il medico mi ha detto di riposare per qualche giorno.
La finestra della cucina è rimasta aperta tutta la notte.
""",
        "pt-br": """
Amanhã cedo preciso levar meu filho para a escola.
O ônibus demorou muito por causa da chuva forte.
Você sabe onde fica a farmácia mais próxima daqui?
Minha avó fazia um bolo de fubá maravilhoso.
Os vizinhos fizeram uma festa até tarde ontem à noite.
Ainda não decidi o que vou vestir no casamento.
A praia estava cheia de gente no fim de semana.
Esqueci meu guarda-chuva dentro do táxi.
O jogo foi adiado porque faltou luz no estádio.
Ela trabalha num hospital do outro lado da cidade.
Quando eu era criança, gostava de subir em árvores.
Por favor, feche a janela antes de sair.
""",
        "nl": """
Morgenochtend moet ik vroeg opstaan om de trein te halen.
Mijn broer heeft vorige week een nieuwe fiets gekocht.
Kunt u mij vertellen waar het gemeentehuis is?
Het regent al de hele dag en de straten zijn nat.
De kinderen spelen buiten in de tuin van de buren.
Wij hebben gisteren lekker gegeten bij mijn ouders.
Ik ben mijn sleutels ergens in huis kwijtgeraakt.
De winkel op de hoek gaat vandaag eerder dicht.
Heb je zin om vanavond mee naar het theater te gaan?
De dokter zei dat ik een paar dagen rust moet houden.
In de zomer zwemmen wij graag in het meer.
Vergeet niet de planten water te geven.
""",
        "pl": """
Jutro rano muszę wcześnie wstać, żeby zdążyć na pociąg.
Moja siostra mieszka w małym domu niedaleko lasu.
Czy może mi pan powiedzieć, gdzie jest dworzec?
Wczoraj wieczorem oglądaliśmy bardzo ciekawy film.
Nie mogę znaleźć kluczy do samochodu.
Dzieci bawią się na podwórku przed szkołą.
Pogoda w tym tygodniu jest naprawdę piękna.
Babcia upiekła ciasto z jabłkami i cynamonem.
Zapomniałem zabrać parasol, a zaczyna padać.
Lekarz powiedział, że powinienem więcej odpoczywać.
W sobotę jedziemy w góry z przyjaciółmi.
Proszę zamknąć okno, bo jest mi zimno.
""",
        "ru": """
Завтра утром мне нужно рано встать, чтобы успеть на поезд.
Моя сестра живёт в маленьком доме недалеко от реки.
Скажите, пожалуйста, где находится ближайшая аптека?
Вчера вечером мы смотрели очень интересный фильм.
Я никак не могу найти ключи от машины.
Дети играют во дворе перед школой.
На этой неделе погода была просто прекрасная.
Бабушка испекла пирог с яблоками и корицей.
Я забыл дома зонт, а на улице начинается дождь.
Врач сказал, что мне надо больше отдыхать.
В субботу мы поедем на дачу вместе с друзьями.
Закройте, пожалуйста, окно, здесь очень холодно.
""",
        "tr": """
Yarın sabah trene yetişmek için erken kalkmam gerekiyor.
Kız kardeşim deniz kenarında küçük bir evde yaşıyor.
En yakın eczanenin nerede olduğunu biliyor musunuz?
Dün akşam arkadaşlarımla çok güzel bir film izledik.
Arabanın anahtarlarını hiçbir yerde bulamıyorum.
Çocuklar okulun bahçesinde top oynuyorlar.
Bu hafta hava gerçekten çok güzeldi.
Büyükannem elmalı ve tarçınlı bir kek pişirdi.
Şemsiyemi evde unuttum ve yağmur başlıyor.
Doktor birkaç gün dinlenmem gerektiğini söyledi.
Cumartesi günü dağlara yürüyüşe gideceğiz.
Lütfen pencereyi kapatın, içerisi çok soğuk.
""",
        "sv": """
I morgon bitti måste jag gå upp tidigt för att hinna med tåget.
Min syster bor i ett litet hus nära havet.
Ursäkta, vet du var närmaste apotek ligger?
I går kväll såg vi en mycket spännande film.
Jag kan inte hitta nycklarna till bilen någonstans.
Barnen leker på gården framför skolan.
Vädret har varit riktigt vackert den här veckan.
Mormor bakade en kaka med äpplen och kanel.
Jag glömde paraplyet hemma och nu börjar det regna.
Läkaren sa att jag borde vila några dagar.
På lördag åker vi till fjällen med våra vänner.
Kan du stänga fönstret, det är kallt här inne.
""",
        "cs": """
Zítra ráno musím brzy vstávat, abych stihl vlak.
Moje sestra bydlí v malém domku blízko lesa.
Můžete mi prosím říct, kde je nejbližší lékárna?
Včera večer jsme se dívali na zajímavý film.
Nemohu nikde najít klíče od auta.
Děti si hrají na hřišti před školou.
Tento týden bylo opravdu krásné počasí.
Babička upekla koláč s jablky a skořicí.
Zapomněl jsem doma deštník a začíná pršet.
Lékař mi řekl, že bych měl více odpočívat.
V sobotu pojedeme s přáteli do hor.
Zavřete prosím okno, je tady velká zima.
""",
        "hu": """
Holnap reggel korán kell kelnem, hogy elérjem a vonatot.
A nővérem egy kis házban lakik az erdő közelében.
Meg tudná mondani, hol van a legközelebbi gyógyszertár?
Tegnap este egy nagyon érdekes filmet néztünk.
Sehol sem találom az autóm kulcsait.
A gyerekek az iskola udvarán játszanak.
Ezen a héten igazán szép idő volt.
Nagymama almás süteményt sütött fahéjjal.
Otthon felejtettem az esernyőmet, pedig esni kezd.
Az orvos azt mondta, hogy többet kell pihennem.
Szombaton a barátainkkal a hegyekbe megyünk.
Kérem, csukja be az ablakot, mert hideg van.
""",
        "fi": """
Huomenna aamulla minun täytyy herätä aikaisin junaan.
Siskoni asuu pienessä talossa lähellä järveä.
Anteeksi, tiedättekö missä on lähin apteekki?
Eilen illalla katsoimme todella hyvän elokuvan.
En löydä auton avaimia mistään.
Lapset leikkivät koulun pihalla palloa.
Tällä viikolla on ollut todella kaunis sää.
Isoäiti leipoi omenapiirakkaa ja keitti mehua.
Unohdin sateenvarjon kotiin ja nyt alkaa sataa.
Lääkäri sanoi, että minun pitäisi levätä enemmän.
Lauantaina lähdemme mökille ystävien kanssa.
Voisitko sulkea ikkunan, täällä on kylmä.
""",
        "el": """
Αύριο το πρωί πρέπει να ξυπνήσω νωρίς για το τρένο.
Η αδερφή μου μένει σε ένα μικρό σπίτι κοντά στη θάλασσα.
Συγγνώμη, πού είναι το πιο κοντινό φαρμακείο;
Χθες το βράδυ είδαμε μια πολύ ωραία ταινία.
Δεν μπορώ να βρω πουθενά τα κλειδιά του αυτοκινήτου.
Τα παιδιά παίζουν στην αυλή του σχολείου.
Αυτή την εβδομάδα ο καιρός ήταν υπέροχος.
Η γιαγιά έφτιαξε μηλόπιτα με κανέλα.
Ξέχασα την ομπρέλα μου και αρχίζει να βρέχει.
Ο γιατρός είπε ότι πρέπει να ξεκουραστώ.
Το Σάββατο θα πάμε στο βουνό με φίλους.
Κλείσε το παράθυρο, σε παρακαλώ, κάνει κρύο.
""",
        "ro": """
Mâine dimineață trebuie să mă trezesc devreme pentru tren.
Sora mea locuiește într-o casă mică lângă pădure.
Îmi puteți spune unde este cea mai apropiată farmacie?
Aseară am văzut un film foarte interesant.
Nu găsesc nicăieri cheile de la mașină.
Copiii se joacă în curtea școlii.
Săptămâna aceasta vremea a fost foarte frumoasă.
Bunica a copt o plăcintă cu mere și scorțișoară.
Mi-am uitat umbrela acasă și începe să plouă.
Doctorul mi-a spus să mă odihnesc câteva zile.
Sâmbătă mergem la munte împreună cu prietenii.
Vă rog să închideți fereastra, este frig aici.
""",
        "hi": """
कल सुबह मुझे ट्रेन पकड़ने के लिए जल्दी उठना है।
मेरी बहन नदी के पास एक छोटे घर में रहती है।
क्या आप बता सकते हैं कि दवा की दुकान कहाँ है?
कल रात हमने एक बहुत अच्छी फ़िल्म देखी।
मुझे गाड़ी की चाबी कहीं नहीं मिल रही है।
बच्चे स्कूल के मैदान में खेल रहे हैं।
इस हफ़्ते मौसम बहुत सुहावना रहा है।
दादी ने सबके लिए गरम गरम पराठे बनाए।
मैं छाता घर पर भूल गया और बारिश होने लगी।
डॉक्टर ने कहा कि मुझे कुछ दिन आराम करना चाहिए।
शनिवार को हम दोस्तों के साथ पहाड़ पर जाएँगे।
कृपया खिड़की बंद कर दीजिए, ठंड लग रही है।
""",
        "id": """
Besok pagi saya harus bangun lebih awal untuk naik kereta.
Kakak perempuan saya tinggal di rumah kecil dekat sungai.
Permisi, apakah Anda tahu di mana apotek terdekat?
Tadi malam kami menonton film yang sangat menarik.
Saya tidak bisa menemukan kunci mobil di mana pun.
Anak-anak bermain bola di halaman sekolah.
Cuaca minggu ini benar-benar indah sekali.
Nenek memasak nasi goreng untuk seluruh keluarga.
Saya lupa membawa payung dan sekarang mulai hujan.
Dokter bilang saya harus beristirahat beberapa hari.
Hari Sabtu kami akan pergi ke gunung bersama teman.
Tolong tutup jendelanya, di sini dingin sekali.
""",
        "vi": """
Sáng mai tôi phải dậy sớm để kịp chuyến tàu.
Chị gái tôi sống trong một ngôi nhà nhỏ gần bờ sông.
Xin lỗi, anh có biết hiệu thuốc gần nhất ở đâu không?
Tối hôm qua chúng tôi xem một bộ phim rất hay.
Tôi không tìm thấy chìa khóa xe ở đâu cả.
Bọn trẻ đang chơi bóng trong sân trường.
Thời tiết tuần này thật sự rất đẹp.
Bà ngoại nấu một nồi canh chua cho cả nhà.
Tôi để quên cái ô ở nhà mà trời bắt đầu mưa.
Bác sĩ nói rằng tôi nên nghỉ ngơi vài ngày.
Thứ bảy này chúng tôi đi leo núi với bạn bè.
Làm ơn đóng cửa sổ lại, trong phòng lạnh quá.
""",
        "ar": """
غدا صباحا يجب أن أستيقظ مبكرا لألحق بالقطار.
تسكن أختي في بيت صغير قريب من البحر.
هل تعرف أين توجد أقرب صيدلية من هنا؟
شاهدنا مساء أمس فيلما جميلا جدا.
لا أستطيع أن أجد مفاتيح السيارة في أي مكان.
يلعب الأطفال بالكرة في ساحة المدرسة.
كان الطقس رائعا طوال هذا الأسبوع.
طبخت جدتي طعاما لذيذا لكل العائلة.
نسيت المظلة في البيت وبدأ المطر ينزل.
قال لي الطبيب إنني أحتاج إلى الراحة.
سنذهب يوم السبت إلى الجبل مع الأصدقاء.
من فضلك أغلق النافذة فالجو بارد هنا.
""",
        "ja": """
あしたのあさは はやく おきて でんしゃに のります。
わたしの いもうとは うみの ちかくに すんでいます。
すみません、いちばん ちかい くすりやは どこですか。
きのうの よる とても おもしろい えいがを みました。
くるまの かぎが どこにも みつかりません。
こどもたちは がっこうの にわで あそんでいます。
こんしゅうは とても いい てんきでした。
おばあさんは おいしい りんごの おかしを つくりました。
かさを うちに わすれましたが あめが ふりそうです。
おいしゃさんは しばらく やすむように いいました。
どようびに ともだちと やまへ いくつもりです。
さむいので まどを しめて いただけますか。
""",
        "ko": """
내일 아침에는 기차를 타려고 일찍 일어나야 합니다.
제 누나는 바닷가 근처의 작은 집에 살고 있어요.
실례합니다, 가장 가까운 약국이 어디에 있나요?
어제 저녁에 우리는 정말 재미있는 영화를 봤어요.
자동차 열쇠를 아무 데서도 찾을 수가 없어요.
아이들이 학교 운동장에서 공을 차고 있습니다.
이번 주에는 날씨가 정말 좋았습니다.
할머니께서 온 가족을 위해 저녁을 차려 주셨어요.
우산을 집에 두고 왔는데 비가 오기 시작하네요.
의사 선생님이 며칠 동안 푹 쉬라고 하셨어요.
토요일에 친구들과 함께 산에 올라갈 거예요.
여기가 너무 추우니까 창문을 닫아 주세요.
""",
    },
    "dev": {
        "da": """
I morgen tidlig skal jeg op og nå toget til arbejde.
Min søster bor i et lille hus tæt på vandet.
Undskyld, ved du hvor det nærmeste apotek ligger?
I går aftes så vi en meget spændende film.
Jeg kan ikke finde nøglerne til bilen nogen steder.
Børnene leger i gården foran skolen.
Vejret har været rigtig dejligt i denne uge.
Mormor bagte en kage med æbler og kanel.
Jeg glemte paraplyen derhjemme, og nu regner det.
Lægen sagde, at jeg skulle hvile mig nogle dage.
På lørdag tager vi ud i skoven med vores venner.
Vil du lukke vinduet, der er koldt herinde.
""",
        "ca": """
Demà al matí m'he de llevar d'hora per agafar el tren.
La meva germana viu en una casa petita a prop del bosc.
Em podria dir on és la farmàcia més propera?
Ahir al vespre vam veure una pel·lícula molt interessant.
No trobo les claus del cotxe enlloc.
Els nens juguen a pilota al pati de l'escola.
Aquesta setmana ha fet un temps magnífic.
L'àvia va fer un pastís de poma amb canyella.
M'he deixat el paraigua a casa i comença a ploure.
El metge em va dir que havia de descansar uns dies.
Dissabte anirem a la muntanya amb els amics.
Tanqui la finestra, si us plau, que fa fred.
""",
        "uk": """
Завтра вранці мені треба рано встати, щоб встигнути на потяг.
Моя сестра живе в маленькому будинку біля річки.
Скажіть, будь ласка, де найближча аптека?
Учора ввечері ми дивилися дуже цікавий фільм.
Я ніде не можу знайти ключі від машини.
Діти граються на подвір'ї біля школи.
Цього тижня погода була справді чудова.
Бабуся спекла пиріг з яблуками та корицею.
Я забув удома парасольку, а надворі починається дощ.
Лікар сказав, що мені треба більше відпочивати.
У суботу ми поїдемо в гори разом із друзями.
Зачиніть, будь ласка, вікно, тут дуже холодно.
""",
        "fa": """
فردا صبح باید زود بیدار شوم تا به قطار برسم.
خواهر من در خانه‌ای کوچک نزدیک دریا زندگی می‌کند.
ببخشید، می‌دانید نزدیک‌ترین داروخانه کجاست؟
دیشب یک فیلم بسیار جالب تماشا کردیم.
کلید ماشین را هیچ جا پیدا نمی‌کنم.
بچه‌ها در حیاط مدرسه بازی می‌کنند.
این هفته هوا واقعا خوب بود.
مادربزرگ برای همه غذای خوشمزه پخت.
چترم را در خانه جا گذاشتم و باران شروع شد.
دکتر گفت که باید چند روز استراحت کنم.
روز شنبه با دوستان به کوه می‌رویم.
لطفا پنجره را ببندید، اینجا خیلی سرد است.
""",
    },
}
# fmt: on

# split -> espeak-ng voice -> sentences; no language is in two splits.
FOREIGN_SENTENCES = {
    split: {voice: tuple(text.strip().splitlines()) for voice, text in voices.items()}
    for split, voices in _SENTENCES.items()
}
